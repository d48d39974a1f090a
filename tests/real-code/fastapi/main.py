"""A FastAPI application behind Mangum, as it is deployed to Lambda."""

from fastapi import FastAPI, Request, Response
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()


class Numbers(BaseModel):
    numbers: list[int]


@app.get("/hello/{name}")
def hello(name: str, request: Request, response: Response):
    response.set_cookie("seen", "yes")
    return {"message": f"Hello, {name}!", "query": dict(request.query_params)}


@app.post("/sum", status_code=201)
def add(numbers: Numbers):
    return {"sum": sum(numbers.numbers)}


handler = Mangum(app, lifespan="off")
