/** Requests of CloudFormation (2010-05-15). Members that we do not know are ignored, as AWS does. */
import * as z from "zod";
import { optional, parse, text } from "../aws/validation.ts";

const StackName = text({ min: 1, max: 2_048 });
const LogicalResourceId = text({ min: 1, max: 255 });
const NextToken = optional(text({ min: 1, max: 1_024 }));

const Stacks = z.object({ StackName: optional(StackName), NextToken });
const ResourcesPage = z.object({ StackName, NextToken });
const Resource = z.object({ StackName, LogicalResourceId });
const Resources = z
  .object({
    StackName: optional(StackName),
    LogicalResourceId: optional(LogicalResourceId),
    PhysicalResourceId: optional(text({ min: 1, max: 2_048 })),
  })
  .refine((asked) => asked.StackName !== undefined || asked.PhysicalResourceId !== undefined, {
    message: "Either StackName or PhysicalResourceId must be specified.",
  });

export const parseStacks = (body: unknown) => parse(Stacks, body);
export const parseResourcesPage = (body: unknown) => parse(ResourcesPage, body);
export const parseResource = (body: unknown) => parse(Resource, body);
export const parseResources = (body: unknown) => parse(Resources, body);
