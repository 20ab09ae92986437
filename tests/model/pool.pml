/* Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
 *
 * How the pool's workers fall asleep and are woken (src/pool/parking, src/pool/thread_pool).
 *
 * What it proves, for every interleaving of each scenario below:
 *   1. No task is left asleep: when nothing can move any more, no queue is runnable (a task waits,
 *      and the queue's limit of workers is not reached) while a worker sleeps. With -DSETTLES and
 *      weak fairness: everything does come to rest, so each such task is taken as long as one
 *      worker is not stuck, and nobody spins for ever.
 *   2. A queue never has more workers than its limit.
 *   3. `sleepers` is never negative, and at rest it is the number of parked words.
 *   4. Each task runs exactly once: at rest those that ran and those that wait are all there were.
 *      (That the queue itself gives no item to two workers is taken for granted.)
 *   5. One submit of n tasks wakes one worker. The others are woken by hand_on, which comes before
 *      the task: all n run even if each of them but the last never returns.
 *   6. With -DSTOP: once exiting is set and wake_all has been through, each worker that is not
 *      stuck leaves its loop.
 *
 * What it assumes. word, sleepers, enqueued (pushed_ in the code), running and exiting are
 * std::atomic and every access to them is seq_cst: so all of them have one order that agrees with
 * the order in each thread, which is just Promela's interleaving. A step below is one such access,
 * or one compare-and-swap; where atomic{} holds more, the rest is local or only noted for the
 * assertions. Only taken is stored by its worker with release: with -DTAKEN_LATE others see it any
 * time later, also after what that worker did next. They then think that more is waiting than is.
 * The concurrent queue is linearisable, but try_dequeue may miss an item that is there (-DMISSES=n
 * times): moodycamel's does while another consumer is in the middle of a failing one. The items of
 * one queue are alike, so it does not matter which of them comes out first.
 *
 * A task that registers another needs no step of its own: it is a producer beside a worker that
 * takes long over its task.
 *
 * A worker that finds the limit reached passes the queue by and may fall asleep. It relies on
 * whoever holds the slot: that worker looks at all queues after it has released the slot (look, and
 * rescan if it parks), or takes another task and then sees the first queue runnable (hand_on).
 *
 * Each M_... is a mutant: it leaves one step out or puts it in the wrong place, and run.sh requires
 * that spin finds the property which that breaks.
 */

/* ---- Scenarios. Queue number LIMITED, if there is one, has a limit of LIMIT workers. submit
 * names the queue and how many items. */

#if defined(TWO_PRODUCERS)
/* Two producers, two workers, an open and a limited queue whose limit is reached. */
#define WORKERS 2
#define QUEUES 2
#define ITEMS 3
#define PRODUCER_0 submit(LIMITED, 1); submit(OPEN, 1)
#define PRODUCER_1 submit(LIMITED, 1)

#elif defined(THREE_WORKERS)
/* One producer, three workers: a task of each queue. */
#define WORKERS 3
#define QUEUES 2
#define ITEMS 2
#define PRODUCER_0 submit(OPEN, 1); submit(LIMITED, 1)

#elif defined(TWO_OF_THREE)
/* One submit of three tasks to a queue that two of the three workers may run. */
#define WORKERS 3
#define QUEUES 1
#define LIMITED 0
#define LIMIT 2
#define ITEMS 3
#define PRODUCER_0 submit(LIMITED, 3)

#elif defined(BULK)
/* One submit of three tasks to an open queue, three workers. */
#define WORKERS 3
#define QUEUES 1
#define LIMITED none
#define ITEMS 3
#define PRODUCER_0 submit(OPEN, 3)

#elif defined(CHAIN)
/* One submit of tasks of both queues, two workers: all are put, then one worker is woken. */
#define WORKERS 2
#define QUEUES 2
#define ITEMS 3
#define PRODUCER_0 put(OPEN, 1); put(LIMITED, 2); wake_one()

#elif defined(TWO_RIVALS)
/* Two producers, two workers, one limited queue. */
#define WORKERS 2
#define QUEUES 1
#define LIMITED 0
#define ITEMS 2
#define PRODUCER_0 submit(LIMITED, 1)
#define PRODUCER_1 submit(LIMITED, 1)

#else
/* TWO_TASKS, the least that shows property 5: one submit of two tasks, two workers. */
#define WORKERS 2
#define QUEUES 1
#define LIMITED none
#define ITEMS 2
#define PRODUCER_0 submit(OPEN, 2)
#endif

#define none 99
#ifndef LIMITED
#define LIMITED 1
#endif
#ifndef LIMIT
#define LIMIT 1
#endif
#define OPEN (LIMITED == 0)

#ifdef PRODUCER_1
#define PRODUCERS 2
#else
#define PRODUCERS 1
#endif

/* How many workers may get stuck in a task, and how often try_dequeue may miss. */
#ifndef STUCK
#define STUCK (WORKERS - 1)
#endif
#ifndef MISSES
#define MISSES 0
#endif

/* Whether each worker counts what it has taken apart, so that the sum is read piece by piece; else
 * all count together, which leaves fewer states. */
#if defined(TAKEN_APART) || defined(TAKEN_LATE)
#define SHARES WORKERS
#else
#define SHARES 1
#endif

/* ---- Shared memory */

#define awake 0
#define parked 1
#define claimed 2

byte word[WORKERS];            /* awake, parked or claimed */
short sleepers;                /* announced and not claimed */
byte items[QUEUES];            /* how many the concurrent queue holds */
byte enqueued[QUEUES];         /* counted after the items are in the queue */
byte taken[SHARES * QUEUES];   /* counted after the dequeue */
byte running;                  /* slots held of the limited queue; the other needs none */
bool exiting;

bool blocked[WORKERS];         /* the kernel's side of the futex */

#ifdef TAKEN_LATE
byte late[WORKERS * QUEUES];   /* stored in taken, and only its own worker sees it yet */

proctype memory() {
end_memory:
    do
    :: atomic { late[0] > 0 -> late[0]--; taken[0]++ }
    :: atomic { late[1] > 0 -> late[1]--; taken[1]++ }
#if WORKERS * QUEUES > 2
    :: atomic { late[2] > 0 -> late[2]--; taken[2]++ }
#endif
#if WORKERS * QUEUES > 3
    :: atomic { late[3] > 0 -> late[3]--; taken[3]++ }
#endif
    od
}
#endif

/* ---- Noted for the assertions */

byte inside;                   /* workers that really hold a task of the limited queue */
byte ran;                      /* tasks that have been started */
byte stuck;                    /* workers that never return from their task */
byte gone;                     /* workers that left their loop */
byte submitted;                /* producers that are done */
byte missed;

/* ---- wake_one: claims a parked worker first, then wakes it */

#define is_last(worker) ((worker) == WORKERS - 1)

inline one_sleeper_less() {
    atomic { sleepers--; assert(sleepers >= 0) }
}

/* Ends with v = 0, as it began. The code loads a word before it tries the compare-and-swap: a word
 * that is not parked fails either way. It returns even if it has found none. */
inline wake_one() {
    if
    :: sleepers == 0
    :: sleepers != 0 ->
        do
#ifdef M_CLAIM_AFTER_WAKE
        :: word[v] == parked -> blocked[v] = false;
            if
            :: atomic { word[v] == parked -> word[v] = claimed }
                one_sleeper_less()
            :: else
            fi;
            v = 0; break
#else
        :: atomic { word[v] == parked -> word[v] = claimed }
#ifndef M_CLAIM_KEEPS_SLEEPERS
            one_sleeper_less();
#endif
#ifdef M_WITHOUT_WAKE
            v = 0; break
#else
            atomic { blocked[v] = false; v = 0; break }
#endif
#endif
        :: atomic { word[v] != parked && !is_last(v) -> v++ }
        :: atomic { word[v] != parked && is_last(v) -> v = 0; break }
        od
    fi
}

inline wake_all() {
    do
    :: v == WORKERS -> break
    :: atomic { v < WORKERS && word[v] == parked -> word[v] = claimed }
        one_sleeper_less();
        atomic { blocked[v] = false; v++ }
    :: atomic { v < WORKERS && word[v] != parked -> v++ }
    od
}

/* ---- submit: the items, then their count, then wake_one */

inline put(queue, n) {
    items[queue] = items[queue] + n;
    enqueued[queue] = enqueued[queue] + n
}

inline submit(queue, n) {
#if defined(M_WAKE_BEFORE_PUT)
    wake_one();
    put(queue, n)
#elif defined(M_WAKE_BEFORE_COUNT)
    items[queue] = items[queue] + n;
    wake_one();
    enqueued[queue] = enqueued[queue] + n
#else
    put(queue, n);
    wake_one()
#endif
}

proctype producer_0() {
    byte v;
    PRODUCER_0;
#ifdef SETTLES
    submitted++
#endif
}

#ifdef PRODUCER_1
proctype producer_1() {
    byte v;
    PRODUCER_1;
#ifdef SETTLES
    submitted++
#endif
}
#endif

#ifdef STOP
proctype stopper() {
    byte v;
    exiting = true;
    wake_all()
}
#endif

/* ---- The worker */

/* Sets found if some queue has running < limit and pending > 0. pending is enqueued minus the sum
 * of what has been taken; all are read one after the other while they change, enqueued last. It
 * can be negative: an item may be dequeued and counted as taken before it is counted as enqueued. */
#ifdef M_RESCAN_IGNORES_LIMIT
#define no_slot(queue) (false)
#else
#define no_slot(queue) (queue == LIMITED && running >= LIMIT)
#endif

#ifdef TAKEN_LATE
#define count_of(share, queue) \
    (taken[share * QUEUES + queue] + (share == w -> late[share * QUEUES + queue] : 0))
#else
#define count_of(share, queue) (taken[share * QUEUES + queue])
#endif

inline runnable(from, to) {
    r = from;
    do
    :: atomic { no_slot(r) && r < to -> r++ }
    :: atomic { no_slot(r) && r == to -> r = 0; break }
    :: !no_slot(r) ->
#ifdef ENQUEUED_FIRST
        pending = enqueued[r];
#endif
        do
        :: atomic { v < SHARES - 1 -> pending = pending - count_of(v, r); v++ }
        :: atomic { v == SHARES - 1 -> pending = pending - count_of(v, r); v = 0; break }
        od;
#ifndef ENQUEUED_FIRST
        pending = pending + enqueued[r];
#endif
        if
        :: atomic { pending > 0 -> pending = 0; r = 0; found = true; break }
        :: atomic { pending <= 0 && r < to -> pending = 0; r++ }
        :: atomic { pending <= 0 && r == to -> pending = 0; r = 0; break }
        fi
    od
}

inline hand_on() {
    if
    :: sleepers == 0
    :: sleepers != 0 ->
#ifdef M_HAND_ON_SAME_QUEUE
        runnable(q, q);
#else
        runnable(0, QUEUES - 1);
#endif
        if
        :: !found
        :: found -> found = false; wake_one()
        fi
    fi
}

inline announce() {
#ifdef M_WORD_BEFORE_SLEEPERS
    word[w] = parked;
    sleepers++
#else
    sleepers++;
    word[w] = parked
#endif
}

/* Once claimed, the word changes no more but by its own worker, and whoever looks at it sees only
 * that it is not parked: so setting it back is one step with finding out. */
inline cancel() {
#if defined(M_WITHOUT_CANCEL)
    skip
#elif defined(M_CANCEL_WITHOUT_CAS)
    word[w] = awake;
    one_sleeper_less()
#else
    if
    :: atomic { word[w] == parked -> word[w] = awake }
#ifndef M_CANCEL_KEEPS_SLEEPERS
        one_sleeper_less()
#endif
    :: atomic { word[w] != parked -> word[w] = awake }
    fi
#endif
}

/* The kernel compares the word and blocks in one step. The wake-up of an earlier claim may come
 * late, when this worker has parked once more: so the word decides, not the wake-up. */
inline sleep() {
    do
    :: atomic { word[w] == parked -> blocked[w] = true }
end_asleep:
        !blocked[w]
#ifdef M_SLEEP_ONCE
        ; word[w] = awake; break
#endif
    :: atomic { word[w] != parked -> word[w] = awake; break }
    od
}

/* Goes on to the next queue; when it has seen all, the worker parks. */
inline next_queue() {
    q = (q + 1) % QUEUES;
    seen++;
    if
    :: seen < QUEUES -> goto look_at
    :: seen == QUEUES -> seen = 0; goto park
    fi
}

proctype worker(byte w) {
    byte q, seen, v, r;
    bool found;
    short pending;
#ifdef M_WITHOUT_RECHECK
    bool without_rescan;
#endif

look:
#ifdef STOP
    if
    :: exiting -> goto leave
    :: !exiting
    fi;
#endif

look_at:
    if  /* a slot, where there is a limit */
    :: q != LIMITED
#ifdef M_LIMIT_WITHOUT_CAS
    :: atomic { q == LIMITED && running < LIMIT -> r = running }
        atomic { running = r + 1; r = 0 }
#else
    :: atomic { q == LIMITED && running < LIMIT -> running++ }
#endif
    :: atomic { q == LIMITED && running >= LIMIT -> next_queue() }
    fi;

    if  /* try_dequeue */
    :: atomic {
        items[q] != 0 ->
            items[q]--; seen = 0;
            inside = inside + (q == LIMITED);
            assert(inside <= LIMIT) }
    :: atomic {
        items[q] == 0 || missed < MISSES ->
            missed = missed + (items[q] != 0);
            if
            :: q != LIMITED -> next_queue()
            :: q == LIMITED
            fi }
#ifdef M_EMPTY_KEEPS_SLOT
        next_queue()
#else
        atomic { running--; next_queue() }
#endif
    fi;

#ifdef TAKEN_LATE
    late[w * QUEUES + q]++;
#else
    taken[(w % SHARES) * QUEUES + q]++;
#endif
#if !defined(M_WITHOUT_HAND_ON) && !defined(M_HAND_ON_AFTER_TASK)
    hand_on();
#endif

    if  /* the task */
    :: atomic { stuck < STUCK -> stuck++; ran++ }
end_stuck:
        false
    :: ran++
    fi;

#ifdef M_HAND_ON_AFTER_TASK
    hand_on();
#endif
    atomic {
        if
        :: q == LIMITED -> running--; inside--
        :: q != LIMITED
        fi;
        q = (q + 1) % QUEUES;  /* the queue after the one served last comes first */
#ifdef M_WITHOUT_RECHECK
        without_rescan = true; goto park
#else
        goto look
#endif
    }

park:
    announce();
#ifdef M_WITHOUT_RECHECK
    if
    :: without_rescan -> without_rescan = false; goto go_to_sleep
    :: else
    fi;
#endif
    /* rescan */
#if defined(STOP) && !defined(M_RESCAN_IGNORES_EXITING)
    if
    :: exiting -> cancel(); goto look
    :: !exiting
    fi;
#endif
#ifndef M_WITHOUT_RESCAN
    runnable(0, QUEUES - 1);
#endif
    if
    :: !found
    :: found -> found = false; cancel(); goto look
    fi;

go_to_sleep:
    sleep();
    goto look;

#ifdef STOP
leave:
    gone++
#endif
}

/* ---- Start, and what holds at rest */

byte sleeping, parked_words, waiting, i;
bool task_left_asleep;

#if WORKERS == 2
#define all_blocked (blocked[0] + blocked[1])
#else
#define all_blocked (blocked[0] + blocked[1] + blocked[2])
#endif
#define at_rest (stuck + gone + all_blocked == WORKERS)

#ifdef SETTLES
ltl settles { <> (submitted == PRODUCERS && at_rest) }
#endif

init {
    atomic {
        run producer_0();
#ifdef PRODUCER_1
        run producer_1();
#endif
        for (i : 0 .. WORKERS - 1) { run worker(i) }
#ifdef STOP
        run stopper();
#endif
#ifdef TAKEN_LATE
        run memory();
#endif
        i = 0
    }
#ifndef SETTLES
    timeout ->
    d_step {
        for (i : 0 .. WORKERS - 1) {
            sleeping = sleeping + blocked[i];
            parked_words = parked_words + (word[i] == parked)
        }
        for (i : 0 .. QUEUES - 1) {
            waiting = waiting + items[i];
            task_left_asleep = task_left_asleep ||
                (items[i] != 0 && sleeping > 0 && (i != LIMITED || inside < LIMIT))
        }
        assert(at_rest);
        assert(!task_left_asleep);
        assert(sleepers == parked_words && sleeping == parked_words);
#ifndef M_LIMIT_WITHOUT_CAS
        assert(running == inside);
#endif
        assert(ran + waiting == ITEMS);
#ifdef STOP
        assert(gone + stuck == WORKERS)
#endif
    }
#endif
}
