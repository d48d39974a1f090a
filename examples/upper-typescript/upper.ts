#!/usr/bin/env node
// Any program that reads stdin and writes its result to stdout is a function; stderr is the log. Node runs it as it is.
import { text } from "node:stream/consumers";

const input: string = await text(process.stdin);
console.error(`${input.length} characters`);
process.stdout.write(input.toUpperCase());
