// All scenarios, in the order they are played.

import { alarms } from '../scenarios/alarms.js';
import { asyncKv } from '../scenarios/async-kv.js';
import { authorizer } from '../scenarios/authorizer.js';
import { classic } from '../scenarios/classic.js';
import { cursors } from '../scenarios/cursors.js';
import { deleting } from '../scenarios/deleting.js';
import { errors } from '../scenarios/errors.js';
import { files } from '../scenarios/files.js';
import { sqlValues } from '../scenarios/sql-values.js';
import { syncKv } from '../scenarios/sync-kv.js';
import { transactions } from '../scenarios/transactions.js';
import { values } from '../scenarios/values.js';

/**
 * A scenario: `name`, `backend` (`sql`, `kv` or `plain`: a class without an alarm handler), `steps`
 * (one event each) and, where this project knowingly answers otherwise than workerd, `differs`: the
 * label of the observation and the reason.
 */
export const scenarios = [
  ...sqlValues, ...cursors, ...errors, ...authorizer, ...transactions,
  ...asyncKv, ...syncKv, ...values, ...deleting, ...alarms, ...classic, ...files,
];
