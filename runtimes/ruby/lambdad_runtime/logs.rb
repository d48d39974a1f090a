# frozen_string_literal: true

require "json"
require "logger"

module LambdadRuntime
  # What a function logs: each message is one record on the log descriptor, tied to its request, however many lines it has.
  #
  #   u32 type | u32 length | u64 microseconds since epoch | message      (big-endian)
  #
  # The type's low bits carry the level. Without the descriptor, messages go to stdout.
  class Sink
    TEXT_TYPE = 0xa55a0003
    JSON_TYPE = 0xa55a0002
    LEVEL_BITS = { "DEBUG" => 8, "INFO" => 12, "WARN" => 16, "ERROR" => 20, "FATAL" => 24 }.freeze
    # A longer message becomes several records; the reader refuses what is much longer.
    RECORD_BYTES_MAX = 256 * 1024

    def initialize(descriptor)
      return if descriptor.nil?

      @file = IO.for_fd(descriptor.to_i, "wb", autoclose: false)
      @file.sync = true
      @file.close_on_exec = true
    end

    def log(message, type: TEXT_TYPE, level: nil)
      data = message.to_s.b
      return $stdout.write(data.end_with?("\n") ? data : "#{data}\n") if @file.nil?

      kind = type | LEVEL_BITS.fetch(level, 0)
      at = 0
      loop do
        piece = data.byteslice(at, RECORD_BYTES_MAX)
        now = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
        @file.write([kind, piece.bytesize, now].pack("L>L>Q>") << piece)
        at += RECORD_BYTES_MAX
        break if at >= data.bytesize
      end
    rescue SystemCallError, IOError
      # Nobody reads any more: a function must not fail by logging.
    end
  end

  class << self
    attr_accessor :request_id, :sink

    def logs_json?
      ENV["AWS_LAMBDA_LOG_FORMAT"].to_s.casecmp?("JSON")
    end

    def log_error(heading, failure)
      if logs_json?
        now = Time.now.utc.strftime("%Y-%m-%dT%H:%M:%S.%6NZ")
        head = { timestamp: now, level: "ERROR", message: heading, requestId: request_id }
        line = JSON.generate(head.merge(JSON.parse(failure.to_json)).compact)
        sink.log("#{line}\n", type: Sink::JSON_TYPE, level: "ERROR")
      else
        sink.log("#{heading}\n")
        sink.log("#{failure.to_log}\n")
      end
    end
  end

  # As a Logger on stdout or stderr is made on Lambda: its lines name the request.
  class TextFormatter < Logger::Formatter
    def call(severity, time, progname, message)
      head = format("%<first>s, [%<time>s #%<process>d] %<severity>5s %<request>s -- %<name>s: ",
                    first: severity[0], time: format_datetime(time), process: Process.pid, severity: severity,
                    request: LambdadRuntime.request_id, name: progname)
      "#{head}#{msg2str(message)}\n".encode(Encoding::UTF_8, invalid: :replace, undef: :replace)
    end
  end

  # One JSON object a line, for functions whose log format is JSON.
  class JsonFormatter < Logger::Formatter
    def call(severity, time, progname, message)
      is_error = message.is_a?(Exception)
      line = {
        timestamp: time.getutc.strftime("%Y-%m-%dT%H:%M:%S.%6NZ"),
        level: severity,
        message: clean(is_error ? message.message : msg2str(message)),
        requestId: LambdadRuntime.request_id,
        logger: progname && clean(progname)
      }
      line.merge!(error_members(message)) if is_error
      "#{JSON.generate(line.compact)}\n"
    end

    private

    def error_members(error)
      stack = Array(error.backtrace).map { |each| clean(each) }
      place = /\A(?<file>.+):(?<line>\d+):in [`'](?<method>.+)'\z/.match(stack.first.to_s)
      {
        errorType: error.class.to_s,
        errorMessage: clean(error.message),
        stackTrace: stack,
        location: place ? "#{place[:file]}:#{place[:method]}:#{place[:line]}" : stack.first
      }
    end

    def clean(value)
      value.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end
  end

  # Stands in for the log device of a Logger.
  class Device
    def write(message)
      return LambdadRuntime.sink.log(message) unless LambdadRuntime.logs_json?

      level = message[/"level":"([A-Z]+)"/, 1]
      LambdadRuntime.sink.log(message, type: Sink::JSON_TYPE, level: level)
    end

    def close; end

    def reopen(*)
      self
    end
  end

  # Loggers that a function makes for stdout or stderr write records instead, from the level that is set for it.
  module RecordedLogger
    LEVELS = { "TRACE" => "DEBUG", "DEBUG" => "DEBUG", "INFO" => "INFO", "WARN" => "WARN", "ERROR" => "ERROR",
               "FATAL" => "FATAL" }.freeze

    def initialize(device, *rest, level: nil, formatter: nil, **options)
      is_recorded = device.nil? || device.equal?($stdout) || device.equal?($stderr)
      level ||= LEVELS.fetch(ENV["AWS_LAMBDA_LOG_LEVEL"].to_s.upcase, "DEBUG")
      super(is_recorded ? Device.new : device, *rest, level: level, formatter: formatter, **options)
      return unless is_recorded

      @default_formatter = LambdadRuntime.logs_json? ? JsonFormatter.new : TextFormatter.new
    end
  end

  # `puts` writes one record, as many lines as it has; `print` and whatever names $stdout go there, as on Lambda.
  module RecordedPuts
    def puts(*values)
      return $stdout.puts(*values) unless $stdout.equal?(STDOUT)

      lines = values.flatten.map { |value| value.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace) }
      LambdadRuntime.sink.log(lines.join("\n"))
      nil
    end
  end

  def self.record_logs(sink)
    self.sink = sink
    $stdout.sync = true
    Logger.prepend(RecordedLogger)
    Kernel.module_eval do
      define_method(:puts, RecordedPuts.instance_method(:puts))
      private :puts
    end
  end
end
