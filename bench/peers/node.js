// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// Node's http, with the work behind res.end. Usage: node node.js PORT
'use strict';
const http = require('http');

const body = 'hello, world\n';
let done = 0;

function spin(microseconds) {
  const end = process.hrtime.bigint() + BigInt(microseconds) * 1000n;
  while (process.hrtime.bigint() < end);
}

function work(kind, amount) {
  if (kind === 'wait') {
    setTimeout(() => { ++done; }, amount);
    return;
  }
  if (kind === 'cpu') {
    spin(amount);
  }
  ++done;
}

http.createServer((req, res) => {
  const [, kind, amount] = req.url.split('/');
  const text = kind === 'done' ? `${done}\n` : body;
  res.writeHead(200, {'Content-Type': 'text/plain', 'Content-Length': text.length});
  res.end(text);
  if (kind === 'cpu' || kind === 'wait' || kind === 'empty') {
    work(kind, Number(amount));
  }
}).listen(Number(process.argv[2]), '127.0.0.1');
