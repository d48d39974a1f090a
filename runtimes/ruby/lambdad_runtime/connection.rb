# frozen_string_literal: true

require "socket"

module LambdadRuntime
  SPECIALISE = 1
  INVOKE = 2
  REHEARSE = 4
  READY = 16
  INIT_ERROR = 17
  RESPONSE = 18
  ERROR = 19
  IDLE = 23
  REHEARSED = 25

  # The runtime's end of the framed socket; the format is described in src/protocol/lambda/frames.ts of lambdad.
  # Blocking: a handler runs on the thread that waits for its call.
  class Connection
    RETRY_SECONDS = 0.001
    RETRIES_MAX = 10_000
    HEAD_BYTES = 9

    def self.frame(kind, call_id, label = "", body = "")
      size = HEAD_BYTES + label.bytesize + body.bytesize
      [size, kind, call_id, label.bytesize].pack("L>CL>L>") << label.b << body.b
    end

    def initialize(path)
      @socket = connect(path)
    end

    def send_frames(*frames)
      @socket.write(frames.join)
    end

    # Gives kind, call id, label and body of the next frame; ends the process when the daemon has gone.
    def receive
      size = take(4).unpack1("L>")
      kind, call_id, label_bytes = take(HEAD_BYTES).unpack("CL>L>")
      label = take(label_bytes)
      body = take(size - HEAD_BYTES - label_bytes)
      [kind, call_id, label.force_encoding(Encoding::UTF_8), body.force_encoding(Encoding::UTF_8)]
    end

    private

    def take(bytes)
      return String.new if bytes.zero?

      data = @socket.read(bytes)
      # Nobody is there any more to work for; threads of the function must not keep the process.
      exit!(1) if data.nil? || data.bytesize < bytes
      data
    rescue SystemCallError
      exit!(1)
    end

    # The daemon may make the socket a moment after it has started us.
    def connect(path)
      RETRIES_MAX.times do
        return UNIXSocket.new(path)
      rescue Errno::ENOENT, Errno::ECONNREFUSED, Errno::EACCES
        # Not made yet, not listened on yet, or not opened to us yet.
        sleep RETRY_SECONDS
      end
      raise "lambdad does not listen"
    end
  end
end
