/*
 * Arguments as the bindings of Workers take them: which values a parameter accepts, and what it
 * makes of them. Texts are those of workerd.
 */

import { badParameter } from "../errors.ts";

/** Where an argument stands, for the error that says it is not what was expected. */
export interface Place {
  readonly method: string;
  readonly type: string;
  readonly parameter: number;
}

/** `DOMString`: any value, by its conversion to text. */
export function toText(value: unknown): string {
  return typeof value === "string" ? value : `${value as string}`;
}

/** A dictionary of options: an object, or nothing. */
export function toOptions(value: unknown, name: string, place: Place): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return none;
  if (typeof value !== "object" && typeof value !== "function") throw badParameter(place.method, place.type, place.parameter, name);
  return value as Record<string, unknown>;
}
const none: Readonly<Record<string, unknown>> = Object.freeze({});

export function optionalText(value: unknown): string | undefined {
  return value === undefined ? undefined : toText(value);
}

/** A whole number of 32 bits; what is no number is 0. */
export function toInt32(value: unknown): number {
  const number = Math.trunc(Number(value));
  if (!Number.isFinite(number)) return 0;
  if (number < -(2 ** 31) || number > 2 ** 31 - 1) {
    throw new TypeError("Value out of range. Must be between -2147483648 and 2147483647 (inclusive).");
  }
  return number;
}

/** The last millisecond that workerd's clock can hold: 2^63 nanoseconds. */
const lastTime = 9223372036854;

/** A date or a number of milliseconds, whole. */
export function toTime(value: unknown, place: Place): number {
  const time = value instanceof Date ? value.getTime() : value;
  if (typeof time !== "number") throw badParameter(place.method, place.type, place.parameter, "date");
  if (!Number.isFinite(time)) throw new TypeError("The value cannot be converted because it is not a valid Date.");
  if (Math.abs(time) > lastTime) throw new TypeError("This API doesn't support dates after 2189.");
  return Math.trunc(time);
}
