# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
# Puma's rack.after_reply. Usage: puma --bind tcp://127.0.0.1:PORT puma.ru
DONE = Queue.new
BODY = "hello, world\n"

def work(kind, amount)
  case kind
  when 'wait'
    sleep(amount / 1e3)
  when 'cpu'
    finish = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond) + 1000 * amount
    nil while Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond) < finish
  end
  DONE << nil
end

run lambda { |env|
  _, kind, amount = env['PATH_INFO'].split('/')
  text = kind == 'done' ? "#{DONE.size}\n" : BODY
  env['rack.after_reply'] << -> { work(kind, amount.to_i) } if %w[cpu wait empty].include?(kind)
  [200, { 'Content-Type' => 'text/plain', 'Content-Length' => text.bytesize.to_s }, [text]]
}
