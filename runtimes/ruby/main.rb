# frozen_string_literal: true

# The managed Ruby runtime: runs inside a sandbox, one process per instance, and turns frames into handler calls.
# It starts generic (connected, waiting); the first frame makes it one function's.
require_relative "lambdad_runtime/start"

LambdadRuntime.start
