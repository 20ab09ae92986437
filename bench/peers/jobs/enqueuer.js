// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// What the job systems of Node have in common here: bench/job_systems.py says what is asked of them.
'use strict';
const fs = require('fs');
const readline = require('readline');

exports.url = process.env.POSTLUDE_URL;
exports.concurrency = Number(process.env.POSTLUDE_CONCURRENCY);

const ran = fs.openSync(process.env.POSTLUDE_RAN, 'a');
const text = 'x'.repeat(280);

exports.run = (args) => {
  const number = Buffer.alloc(4);
  number.writeUInt32LE(args.n);
  fs.writeSync(ran, number);
};

const args = (n) => ({n, text});

// Keeps that many calls under way until all of them are answered.
async function together(calls, waiting, call) {
  let next = 0;
  const one = async () => {
    while (next < calls) {
      await call(next++);
    }
  };
  await Promise.all(Array.from({length: waiting}, one));
}

async function enqueue(first, count, {single, bulk}) {
  if (process.argv[2] === 'single') {
    const waiting = Number(process.env.POSTLUDE_WAITING);
    await together(count, waiting, (i) => single(args(first + i)));
    return;
  }
  const size = 1000;
  await together(Math.ceil(count / size), 4, (i) => {
    const begin = i * size;
    const length = Math.min(size, count - begin);
    return bulk(Array.from({length}, (_, k) => args(first + begin + k)));
  });
}

// Each line of the input, "FIRST COUNT", is an order; the answer to it is "enqueued".
exports.serve = async (ways) => {
  console.log('ready');
  for await (const line of readline.createInterface({input: process.stdin})) {
    const [first, count] = line.split(' ').map(Number);
    await enqueue(first, count, ways);
    console.log('enqueued');
  }
  process.exit(0);
};

exports.main = (roles) => {
  const role = process.argv[2] === 'worker' ? roles.worker : roles.enqueuer;
  role().catch((error) => {
    console.error(error);
    process.exit(1);
  });
};
