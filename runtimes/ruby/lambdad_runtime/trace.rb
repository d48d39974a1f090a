# frozen_string_literal: true

module LambdadRuntime
  # The trace of the call, in the environment: in `ENV` and for programs that are started.
  #
  # The C library keeps every value that it was ever told to set, so that each call would take memory for good. A string of
  # one's own (`putenv`) is not kept: it is written over by the next call.
  class Trace
    NAME = "_X_AMZN_TRACE_ID"
    # Until then the values may be kept: most processes do not live for so many calls as make `fiddle` worth its loading.
    VALUES_KEPT = 100

    def initialize
      @values = 0
      @size = 0
    end

    # nil takes it away.
    def set(trace_id)
      @values += 1 if trace_id
      @putenv = load_putenv if @values == VALUES_KEPT && trace_id
      if trace_id && @putenv
        put("#{NAME}=#{trace_id}\0")
      else
        ENV[NAME] = trace_id
      end
    end

    private

    def put(text)
      if text.bytesize > @size
        @size = 2 * text.bytesize
        # Never freed: it is the environment's until the process has gone.
        @place = Fiddle::Pointer.new(Fiddle.malloc(@size))
      end
      @place[0, text.bytesize] = text
      # Each time, for the function may have set or deleted the variable.
      @putenv.call(@place)
    end

    def load_putenv
      require "fiddle"
      Fiddle::Function.new(Fiddle::Handle::DEFAULT["putenv"], [Fiddle::TYPE_VOIDP], Fiddle::TYPE_INT)
    rescue LoadError, StandardError
      # A Ruby without it: the values are kept.
      nil
    end
  end
end
