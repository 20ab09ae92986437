// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// BullMQ. Usage: node bullmq.js worker|single|bulk
'use strict';
const {Queue, Worker} = require('bullmq');
const IORedis = require('ioredis');
const peer = require('./enqueuer.js');

const connect = () => new IORedis(peer.url, {maxRetriesPerRequest: null});

async function worker() {
  const running = new Worker('bench', async (job) => peer.run(job.data), {
    connection: connect(),
    concurrency: peer.concurrency,
    removeOnComplete: {count: 1000},
  });
  running.on('error', console.error);
  process.on('SIGTERM', () => running.close().then(() => process.exit(0)));
}

async function enqueuer() {
  const queue = new Queue('bench', {connection: connect()});
  await queue.waitUntilReady();
  await peer.serve({
    single: (data) => queue.add('noop', data),
    bulk: (all) => queue.addBulk(all.map((data) => ({name: 'noop', data}))),
  });
}

peer.main({worker, enqueuer});
