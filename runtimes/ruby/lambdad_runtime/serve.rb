# frozen_string_literal: true

module LambdadRuntime
  # The loop of a managed runtime: a call comes in, the handler runs, its result goes out, and the next is asked for.
  class Service
    # Lambda's runtime leaves with -1 after an error that is not of the ordinary kind.
    CRITICAL_EXIT_CODE = 255

    def initialize(connection, handler, response_bytes_max)
      @connection = connection
      @handler = handler
      @response_bytes_max = response_bytes_max
      @trace = Trace.new
    end

    # Runs until the daemon has gone, or until an error of the handler ends the process.
    def run
      loop do
        _, call_id, label, body = @connection.receive
        head = JSON.parse(label)
        LambdadRuntime.request_id = head["requestId"]
        @trace.set(head["traceId"])
        serve(call_id, head, body)
      end
    end

    private

    def serve(call_id, head, body)
      context, event = read(head, body)
    rescue StandardError => e
      fail_call(call_id, "Error raised by the runtime", Failure.new(e, "Runtime"))
    else
      run_handler(call_id, event, context)
    end

    def read(head, body)
      request = RawRequest.new(head["contentType"], body)
      [LambdaContext.new(head), AwsLambda::Marshaller.marshall_request(request)]
    end

    # A NameError is a mistake in the code, and the process is not used again; nor is it behind what is no StandardError.
    def run_handler(call_id, event, context)
      payload, content_type = @handler.call(event, context)
      answer(call_id, payload, content_type)
    rescue NameError => e
      end_after(call_id, e)
    rescue StandardError => e
      fail_call(call_id, "Error raised from handler method", Failure.new(e))
    rescue Exception => e # rubocop:disable Lint/RescueException
      end_after(call_id, e)
    end

    def answer(call_id, payload, content_type)
      if payload.bytesize > @response_bytes_max
        kind = "Function.ResponseSizeTooLarge"
        message = "Response payload size exceeded maximum allowed payload size (#{@response_bytes_max} bytes)."
        finish(call_id, Connection.frame(ERROR, call_id, kind, JSON.generate(errorType: kind, errorMessage: message)))
      else
        finish(call_id, Connection.frame(RESPONSE, call_id, content_type.to_s, payload))
      end
    end

    def fail_call(call_id, heading, failure)
      LambdadRuntime.log_error(heading, failure)
      finish(call_id, Connection.frame(ERROR, call_id, failure.recorded_type, failure.to_json))
    end

    def end_after(call_id, error)
      failure = Failure.new(error)
      LambdadRuntime.log_error("Critical exception from handler", failure)
      flush
      @connection.send_frames(Connection.frame(ERROR, call_id, failure.recorded_type, failure.to_json))
      exit(CRITICAL_EXIT_CODE)
    end

    def finish(call_id, frame)
      flush
      @connection.send_frames(frame, Connection.frame(IDLE, call_id))
    end

    # A line without its end belongs to the call that printed it. A function may have put anything in place of stdout.
    def flush
      $stdout.flush
    rescue StandardError
      nil
    end
  end
end
