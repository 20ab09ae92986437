/* Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
 *
 * How places are reserved, and how a drain knows that nothing is left (src/pool/thread_pool).
 *
 * What it proves, for every interleaving of threads that register, workers (whose tasks register
 * too) and one thread that drains:
 *   1. When drain returns, every accepted task has run and every unused place has been given back.
 *   2. No reservation succeeds that began after the close, and none after drain has returned.
 *   3. A queue never holds more than its capacity.
 *   4. A refusal for lack of room is true: when its ticket was taken, the tickets (those that were
 *      about to be given back among them) left no room for it.
 *   5. No ticket is lost: at the end tickets and finished agree.
 *   With -DRETURNS and weak fairness: drain returns, as long as tasks end and places that were
 *   reserved are used or given back.
 *
 * What it assumes. tickets (with the closed bit in it; taken_ in the code) is a std::atomic and
 * every access to it is seq_cst, so that Promela's interleaving is right for it. finished is stored
 * by its worker with release: others see it any time later, also after what that worker did next.
 * cached (finished_seen_) is relaxed: any sum of finished that it ever held is too low or right,
 * and that is all that is asked of it. A step below is one access or one read-modify-write; where atomic{} holds more, the rest is local or only
 * noted for the assertions. How tasks get to the workers is the matter of pool.pml. The deadline,
 * at which drain gives up what is left, is not in the model.
 *
 * Each M_... is a mutant: it leaves one step out or puts it in the wrong place, and run.sh requires
 * that spin finds the property which that breaks.
 */

#define WORKERS 2
#ifndef CAPACITY
#define CAPACITY 2
#endif

/* One thread registers BULK tasks, one a single task. NESTED tasks, at most, register another. */
#ifndef BULK
#define BULK 2
#endif
#ifndef NESTED
#define NESTED 1
#endif

/* ---- Shared memory */

#define closed_bit 64
#define no_worker 99

short tickets;                 /* places reserved and not given back, and the closed bit */
byte finished[WORKERS];        /* tasks that have run, each worker's own */
byte late[WORKERS];            /* stored in finished, and only its own worker sees it yet */
byte cached;                   /* a sum of finished that somebody has read */
byte waiting;                  /* tasks in the queue */

/* ---- Noted for the assertions */

byte held;                     /* places accepted, neither finished nor given back */
byte nested;
bool closing, drained;

#define all_finished (finished[0] + finished[1])

proctype memory() {
end_memory:
    do
    :: atomic { late[0] > 0 -> late[0]--; finished[0]++ }
    :: atomic { late[1] > 0 -> late[1]--; finished[1]++ }
    od
}

/* ---- reserve and give_back */

inline give_back(n) {
#ifdef M_GIVE_BACK_BY_STORE
    t = tickets;
    tickets = t - n
#else
    tickets = tickets - n
#endif
}

/* What each worker has finished, read one after the other while it grows. */
inline read_finished(me) {
    sum = finished[0] + (me == 0 -> late[0] : 0);
    sum = sum + finished[1] + (me == 1 -> late[1] : 0)
}

/* By the time that finished is read it may have passed this ticket: the difference has a sign. */
#ifdef M_CAPACITY_UNSIGNED
#define no_room(n) (t + n - sum > CAPACITY || t + n - sum < 0)
#else
#define no_room(n) (t + n - sum > CAPACITY)
#endif

/* Takes n tickets, sees afterwards whether they are good, and gives them back where they are not.
 * Sets accepted. */
inline reserve(n, me) {
#if defined(M_CLOSED_CHECKED_FIRST)
    refused = tickets >= closed_bit;
#elif defined(M_CAPACITY_CHECKED_FIRST)
    t = tickets;
    read_finished(me);
    refused = t < closed_bit && no_room(n);
#endif
    if
    :: refused
    :: !refused ->
        atomic { t = tickets; tickets = tickets + n; after_close = closing; finished_then = all_finished }
#ifdef M_CLOSED_CHECKED_FIRST
        t = t % closed_bit;
#endif
        refused = t >= closed_bit;
#ifndef M_CAPACITY_CHECKED_FIRST
        if
        :: !refused ->
            sum = cached;
            if
            :: no_room(n) ->
#ifndef M_CACHE_NOT_REFRESHED
                read_finished(me);
                cached = sum;
#endif
                refused = no_room(n);
                assert(!refused || t + n - finished_then > CAPACITY)
            :: else
            fi
        :: refused
        fi;
#endif
        if
        :: refused ->
#ifndef M_WITHOUT_GIVE_BACK
            give_back(n)
#endif
        :: atomic {
            !refused ->
                accepted = true;
                held = held + n;
                assert(!after_close && !drained);
                assert(held <= CAPACITY) }
        fi
    fi;
    atomic { refused = false; after_close = false; t = 0; sum = 0; finished_then = 0 }
}

/* Registers n tasks and submits them, or finds that it does not need the places. */
proctype registrar(byte n) {
    short t;
    byte sum, finished_then;
    bool after_close, refused, accepted;

    reserve(n, no_worker);
    if
    :: accepted -> waiting = waiting + n
    :: atomic { accepted -> give_back(n); held = held - n }
    :: !accepted
    fi
}

/* ---- The worker: takes a task, runs it, counts it */

proctype worker(byte w) {
    short t;
    byte sum, finished_then;
    bool after_close, refused, accepted;

end_idle:
    do
    :: atomic { waiting > 0 -> waiting-- }
#ifdef M_FINISHED_BEFORE_TASK
        finished[w]++;
#endif
        if  /* the task */
        :: true
        :: atomic { nested < NESTED -> nested++ }
            reserve(1, w);
            if
            :: accepted -> waiting++; accepted = false
            :: !accepted
            fi
        fi;
#ifdef M_FINISHED_BEFORE_TASK
        held--
#else
        atomic { late[w]++; held-- }
#endif
    od
}

/* ---- drain: closes by one read-modify-write, then waits until as many have finished as tickets
 * are out. finished is read first: it only grows, and never beyond the tickets that are out, so
 * where the two are equal nothing was left when tickets was read. */

proctype drain() {
    short t;
    byte sum;

#ifdef M_CLOSE_BY_STORE
    t = tickets;
    atomic { tickets = t + closed_bit; closing = true }
#else
    atomic { tickets = tickets + closed_bit; closing = true }
#endif
    do
    ::
#ifdef M_WITHOUT_WAITING
        break
#else
        read_finished(no_worker);
        t = tickets - closed_bit;
        if
        :: t != sum -> t = 0; sum = 0
        :: t == sum -> break
        fi
#endif
    od;
    atomic {
        drained = true;
        assert(held == 0);
        assert(waiting == 0)
    }
}

/* ---- Start, and what holds at the end */

#ifdef RETURNS
ltl returns { <> drained }
#endif

init {
    atomic {
        run registrar(BULK);
        run registrar(1);
        run worker(0);
        run worker(1);
        run memory();
        run drain()
    }
#ifndef RETURNS
    timeout ->
    assert(drained && held == 0 && tickets - closed_bit == all_finished)
#endif
}
