# frozen_string_literal: true

require "json"
require_relative "connection"
require_relative "context"
require_relative "failure"
require_relative "handler"
require_relative "logs"
require_relative "serve"
require_relative "trace"

# From a generic process to a function that is ready, and then the loop of calls.
module LambdadRuntime
  # Lambda's runtime leaves with -4 when it could not load the function.
  INIT_FAILED_EXIT_CODE = 252

  class << self
    def start
      connection = Connection.new(ENV.delete("_LAMBDAD_SOCKET"))
      record_logs(Sink.new(ENV.delete("_LAMBDA_TELEMETRY_LOG_FD")))
      specialisation = wait_for_function(connection)
      become(specialisation)
      handler = load_handler(connection, specialisation["handler"])
      connection.send_frames(Connection.frame(READY, 0))
      Service.new(connection, handler, specialisation["responseBytesMax"]).run
    end

    private

    def wait_for_function(connection)
      kind, _, label, body = connection.receive
      if kind == REHEARSE
        rehearse(label, body)
        connection.send_frames(Connection.frame(REHEARSED, 0))
        _, _, label, = connection.receive
      end
      specialisation = JSON.parse(label)
      connection.receive if specialisation["awaitsCode"]
      specialisation
    end

    # What every call does, once, so that nothing is done for the first time in one.
    def rehearse(label, body)
      LambdaContext.new(JSON.parse(label))
      AwsLambda::Marshaller.marshall_response(JSON.parse(body))
      TextFormatter.new.call("INFO", Time.now, nil, "rehearsal")
    end

    def become(specialisation)
      ENV.update(specialisation["environment"])
      task_root = specialisation["taskRoot"]
      Dir.chdir(task_root)
      # Only now, so that no file of the function is taken for one of Ruby's that this runtime needs.
      $LOAD_PATH.replace([task_root, *ENV["RUBYLIB"].to_s.split(":"), *$LOAD_PATH].uniq)
      use_gems
    end

    # Gems of the code and of layers, then those of this host. A folder of gems is named after the interface that they were
    # built for: that of the runtime's name is looked into, and that of the interpreter.
    def use_gems
      return unless defined?(Gem)

      api = Gem.ruby_api_version
      named = ENV["GEM_PATH"].to_s.split(":")
      own = named.map { |folder| folder.sub(/\d+\.\d+\.\d+\z/, api) }
      Gem.paths = { "GEM_HOME" => ENV["GEM_HOME"] || Gem.default_dir,
                    "GEM_PATH" => (own + named + Gem.default_path).uniq.join(":") }
    end

    def load_handler(connection, name)
      handler = Handler.new(name)
      require handler.file
      handler
    rescue Exception => e # rubocop:disable Lint/RescueException
      failure = Failure.new(e, "Init")
      log_error("Init error when loading handler #{name}", failure)
      connection.send_frames(Connection.frame(INIT_ERROR, 0, failure.recorded_type, failure.to_json))
      exit(INIT_FAILED_EXIT_CODE)
    end
  end
end
