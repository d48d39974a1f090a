// An Express application behind serverless-http, as it is deployed to Lambda.
const express = require("express");
const serverless = require("serverless-http");

const app = express();
app.use(express.json());

app.get("/hello/:name", (request, response) => {
  response.cookie("seen", "yes").json({ message: `Hello, ${request.params.name}!`, query: request.query });
});

app.post("/sum", (request, response) => {
  response.status(201).json({ sum: request.body.numbers.reduce((total, number) => total + number, 0) });
});

exports.handler = serverless(app);
