/** Prints the JSON Schema of lambda.yaml: `npm run schema` writes docs/lambda.schema.json. */
import { projectJsonSchema } from "./project-schema.ts";

console.log(JSON.stringify(projectJsonSchema(), undefined, 2));
