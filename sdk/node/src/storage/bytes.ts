/*
 * Texts and bytes. Authors may have no `Buffer`, and may change the one they have; this one is ours.
 */

import { Buffer } from "node:buffer";

export { Buffer };
