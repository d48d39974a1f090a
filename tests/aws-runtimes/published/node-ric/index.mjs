export const handler = async (event, context) => {
  if (event.fail) throw new RangeError("asked to fail");
  console.log("served by aws-lambda-ric");
  return { echo: event, id: context.awsRequestId, client: process.argv[1] };
};
