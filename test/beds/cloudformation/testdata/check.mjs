// Checks CloudFormation templates against AWS's published resource types: that
// types and properties exist, required ones are there, and values have the right
// kind. Prints a fault a line, then how many properties were looked at.
import { readFileSync } from 'node:fs';
import { loadAwsServiceSpec } from '@aws-cdk/aws-service-spec';
import { parse } from 'yaml';

const db = await loadAwsServiceSpec();
let looked = 0;
const isFunction = v => v && typeof v === 'object' && Object.keys(v).length === 1 && /^(Ref|Fn::.*)$/.test(Object.keys(v)[0]);

function value(at, type, v) {
  looked++;
  if (isFunction(v)) return;
  const is = Array.isArray(v) ? 'array' : typeof v;
  switch (type.type) {
    case 'string': if (is !== 'string') console.log(`${at}: ${is}, not string`); break;
    case 'integer': if (!Number.isInteger(v)) console.log(`${at}: ${JSON.stringify(v)} is no integer`); break;
    case 'number': if (is !== 'number') console.log(`${at}: ${is}, not number`); break;
    case 'boolean': if (is !== 'boolean') console.log(`${at}: ${is}, not boolean`); break;
    case 'array':
      if (is !== 'array') console.log(`${at}: ${is}, not array`);
      else v.forEach((e, i) => value(`${at}[${i}]`, type.element, e));
      break;
    case 'ref': properties(at, db.get('typeDefinition', type.reference.$ref).properties, v); break;
  }
}

function properties(at, known, given) {
  for (const [name, v] of Object.entries(given ?? {})) {
    if (!known[name]) console.log(`${at}.${name}: there is no such property`);
    else value(`${at}.${name}`, known[name].type, v);
  }
  for (const [name, p] of Object.entries(known)) {
    if (p.required && !(name in (given ?? {}))) console.log(`${at}.${name}: is required`);
  }
}

for (const file of process.argv.slice(2)) {
  const template = parse(readFileSync(file, 'utf8'));
  for (const [id, r] of Object.entries(template.Resources)) {
    const [found] = db.lookup('resource', 'cloudFormationType', 'equals', r.Type);
    if (!found) console.log(`${file} ${id}: there is no type ${r.Type}`);
    else properties(`${file} ${id}`, found.properties, r.Properties);
  }
}
console.log(`looked at ${looked}`);
