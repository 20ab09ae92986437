// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.

// Go's net/http, with the work in a goroutine. Usage: server PORT
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var done int64

func work(kind string, amount int) {
	switch kind {
	case "wait":
		time.Sleep(time.Duration(amount) * time.Millisecond)
	case "cpu":
		end := time.Now().Add(time.Duration(amount) * time.Microsecond)
		for time.Now().Before(end) {
		}
	}
	atomic.AddInt64(&done, 1)
}

func answer(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	w.Header().Set("Content-Type", "text/plain")
	if parts[1] == "done" {
		fmt.Fprintf(w, "%d\n", atomic.LoadInt64(&done))
		return
	}
	fmt.Fprint(w, "hello, world\n")
	amount := 0
	if len(parts) > 2 {
		amount, _ = strconv.Atoi(parts[2])
	}
	if parts[1] != "none" {
		go work(parts[1], amount)
	}
}

func main() {
	http.HandleFunc("/", answer)
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
