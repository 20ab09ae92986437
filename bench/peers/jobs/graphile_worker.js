// Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
// graphile-worker. Usage: node graphile_worker.js worker|single|bulk; POSTLUDE_BATCHED=1: with the
// batches that its chapter on performance has.
'use strict';
const {Logger, makeWorkerUtils, run} = require('graphile-worker');
const peer = require('./enqueuer.js');

const logger = new Logger(() => (level, message) => {
  if (level === 'error' || level === 'warning') {
    console.error(message);
  }
});

const batches = {localQueue: {size: 500}, completeJobBatchDelay: 0, failJobBatchDelay: 0};

async function worker() {
  const runner = await run({
    preset: {
      worker: {
        connectionString: peer.url,
        concurrentJobs: peer.concurrency,
        maxPoolSize: peer.concurrency + 1,
        logger,
        ...(process.env.POSTLUDE_BATCHED ? batches : {}),
      },
    },
    taskList: {noop: async (args) => peer.run(args)},
  });
  await runner.promise;
}

async function enqueuer() {
  const utils = await makeWorkerUtils({connectionString: peer.url, maxPoolSize: 10, logger});
  await utils.migrate();
  await peer.serve({
    single: (payload) => utils.addJob('noop', payload),
    bulk: (all) => utils.addJobs(all.map((payload) => ({identifier: 'noop', payload}))),
  });
}

peer.main({worker, enqueuer});
