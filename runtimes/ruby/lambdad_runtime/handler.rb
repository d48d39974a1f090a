# frozen_string_literal: true

require "json"
require "stringio"

# What goes into a handler and comes out of it. Functions may replace these two, as on Lambda.
module AwsLambda
  class Marshaller
    class << self
      # `raw_request` has `["Content-Type"]` and `body`.
      def marshall_request(raw_request)
        raw_request["Content-Type"] == "application/json" ? JSON.parse(raw_request.body) : raw_request.body
      end

      # The body, or the body and its content type.
      def marshall_response(method_response)
        case method_response
        when StringIO, IO then [method_response, "application/unknown"]
        else method_response.to_json
        end
      end
    end
  end
end

# What methods outside of any class run on. Its name is Lambda's.
class LambdaHandler; end

module LambdadRuntime
  # The event as it came.
  RawRequest = Struct.new(:content_type, :body) do
    def [](name)
      name.is_a?(String) && name.casecmp?("content-type") ? content_type : nil
    end
  end

  # `file.method`, or `file.Module::Class.method` for a method of a class or module.
  class Handler
    attr_reader :file

    def initialize(name)
      parts = name.split(".")
      unless [2, 3].include?(parts.size)
        raise ArgumentError,
              "Invalid handler #{parts}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME " \
              "corresponds with an existing Ruby source file FILENAME.rb, CLASS is an optional module/class " \
              "namespace and METHOD is a callable method. If using CLASS, METHOD must be a class-level method."
      end
      @file = parts.first
      @method = parts.last
      @owner = parts[1] if parts.size == 3
    end

    # Gives the response's bytes and its content type, which is nil for JSON. Raises what the handler raises.
    def call(event, context)
      body, content_type = AwsLambda::Marshaller.marshall_response(respond(event, context))
      [body.respond_to?(:read) ? body.read : body.to_s, content_type]
    end

    private

    def respond(event, context)
      return RECEIVER.__send__(@method, event: event, context: context) if @owner.nil?

      Kernel.const_get(@owner).send(@method, event: event, context: context)
    end
  end

  # Methods that a file defines outside of any class are everybody's; errors name what they were called on.
  RECEIVER = LambdaHandler.new
end
