# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
# Sidekiq. Usage: sidekiq -e production -c N -r ./sidekiq_job.rb, or ruby sidekiq_job.rb single|bulk
require 'sidekiq'

WAITING = ENV.fetch('POSTLUDE_WAITING').to_i
RAN = File.open(ENV.fetch('POSTLUDE_RAN'), 'ab')
TEXT = 'x' * 280

Sidekiq.logger.level = Logger::WARN # by default it writes two lines a job
Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch('POSTLUDE_URL') } }
Sidekiq.configure_client do |config|
  config.redis = { url: ENV.fetch('POSTLUDE_URL'), size: WAITING }
end

class BenchJob
  include Sidekiq::Job

  def perform(args)
    RAN.syswrite([args['n']].pack('L<'))
  end
end

def args(n)
  { 'n' => n, 'text' => TEXT }
end

# Calls the block for each of the parts, in that many threads.
def together(parts, threads)
  queue = Queue.new(parts).close
  Array.new(threads) do
    Thread.new do
      while (part = queue.pop)
        yield part
      end
    end
  end.each(&:join)
end

if $PROGRAM_NAME == __FILE__
  $stdout.sync = true
  Sidekiq.redis(&:ping)
  puts 'ready'
  $stdin.each_line do |line|
    first, count = line.split.map(&:to_i)
    numbers = (first...first + count).to_a
    if ARGV[0] == 'single'
      together(numbers, WAITING) { |n| BenchJob.perform_async(args(n)) }
    else
      together(numbers.each_slice(1000).to_a, 4) { |part| BenchJob.perform_bulk(part.map { |n| [args(n)] }) }
    end
    puts 'enqueued'
  end
end
