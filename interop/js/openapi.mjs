// Reads an OpenAPI description and says whether it is valid, by the schemas of the specification.
import { readFileSync } from 'node:fs'
import { Validator } from '@seriousme/openapi-schema-validator'

const validator = new Validator()
const result = await validator.validate(JSON.parse(readFileSync(process.argv[2], 'utf8')))
if (!result.valid || validator.version !== '3.1') {
  console.error(validator.version, JSON.stringify(result.errors, null, 1))
  process.exit(1)
}
console.log('valid', validator.version, Object.keys(validator.resolveRefs().paths).length)
