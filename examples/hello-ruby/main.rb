require "base64"
require "json"

# Answers {"message": "Hello, NAME!"}; the name comes from the event, the query or a JSON body.
def handler(event:, context:)
  query = event["queryStringParameters"] || {}
  name = event["name"] || query["name"] || name_in_body(event) || "World"
  puts "greeting #{name}"
  { message: "Hello, #{name}!" }
end

# An HTTP request arrives as an event with its body as text.
def name_in_body(event)
  body = event["body"]
  return if body.nil? || body.empty?

  body = Base64.decode64(body) if event["isBase64Encoded"]
  JSON.parse(body)["name"]
end
