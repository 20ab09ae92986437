// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// pg-boss. Usage: node pg_boss.js worker|single|bulk; POSTLUDE_BATCHED=1: its workers take batches.
'use strict';
const PgBoss = require('pg-boss');
const peer = require('./enqueuer.js');

async function start() {
  const boss = new PgBoss({connectionString: peer.url, max: 10});
  boss.on('error', console.error);
  await boss.start();
  return boss;
}

async function worker() {
  const boss = await start();
  // It asks for work by time, at most ten times a second: so it has to take many jobs at once.
  const newJobCheckInterval = 100;
  if (process.env.POSTLUDE_BATCHED) {
    const options = {newJobCheckInterval, batchSize: 1000};
    for (let i = 0; i < peer.concurrency; ++i) {
      await boss.work('bench', options, async (jobs) => jobs.forEach((job) => peer.run(job.data)));
    }
    return;
  }
  const options = {newJobCheckInterval, teamSize: 1000, teamConcurrency: peer.concurrency};
  await boss.work('bench', options, async (job) => peer.run(job.data));
}

async function enqueuer() {
  const boss = await start();
  await peer.serve({
    single: (data) => boss.send('bench', data),
    bulk: (all) => boss.insert(all.map((data) => ({name: 'bench', data}))),
  });
}

peer.main({worker, enqueuer});
