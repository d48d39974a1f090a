# frozen_string_literal: true

module LambdadRuntime
  # How an error looks to the caller and to the log. Names and shapes are Lambda's: `Function<ArgumentError>` for what a
  # handler raises, `Init<LoadError>` for what loading it raises.
  class Failure
    STACK_LINES_MAX = 100
    OWN_FOLDER = __dir__
    # The only ones that the platform's own records name; of all others they say that it was the user's.
    NAMED = %w[
      ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError
    ].freeze

    attr_reader :type

    def initialize(error, phase = "Function")
      @error = error
      @type = "#{phase}<#{error.class}>"
    end

    # What goes to metrics and to the REPORT line.
    def recorded_type
      NAMED.include?(@error.class.to_s) ? @type : "Function<UserException>"
    end

    def to_json(*)
      JSON.generate(members)
    end

    def to_log
      JSON.pretty_generate(members)
    end

    private

    def members
      @members ||= {
        errorMessage: text(@error.message),
        errorType: text(@type),
        stackTrace: stack.map { |line| text(line) }
      }
    rescue StandardError
      @members = { errorMessage: "the error's text could not be made", errorType: text(@type), stackTrace: [] }
    end

    # Down to where the function's own code was entered.
    def stack
      lines = (@error.backtrace || []).first(STACK_LINES_MAX)
      lines.take_while { |line| !line.start_with?(OWN_FOLDER) }
    end

    # An error may say what is no text; the answer has to be.
    def text(value)
      value.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end
  end
end
