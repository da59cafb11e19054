// Renders a value as one line of text, the same in every runtime, so that what two runtimes
// returned can be compared as text. Plain JavaScript: it runs in workerd too.

const MAX_TEXT = 300;

/** One line for any value: types that JSON would lose are spelled out. */
export function show(value, depth = 0, seen = []) {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'undefined': return 'undefined';
    case 'string': return showText(value);
    case 'number': return Object.is(value, -0) ? '-0' : String(value);
    case 'bigint': return `${value}n`;
    case 'boolean': return String(value);
    case 'function': return `function ${value.name}`;
    case 'symbol': return value.toString();
  }
  if (seen.includes(value)) return `<cycle ${seen.length - seen.indexOf(value)}>`;
  if (depth > 6) return '…';
  const inner = (v) => show(v, depth + 1, [...seen, value]);
  if (value instanceof Error) return showError(value, inner);
  if (value instanceof ArrayBuffer) return `ArrayBuffer(${hex(new Uint8Array(value))})`;
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return `${value.constructor.name}(${hex(bytes)} in ${value.buffer.byteLength})`;
  }
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof RegExp) return `RegExp(${value})`;
  if (value instanceof Map) return `Map{${[...value].map(([k, v]) => `${inner(k)} => ${inner(v)}`).join(', ')}}`;
  if (value instanceof Set) return `Set{${[...value].map(inner).join(', ')}}`;
  if (value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt) {
    return `Boxed(${inner(value.valueOf())})`;
  }
  if (Array.isArray(value)) return showArray(value, inner);
  const proto = Object.getPrototypeOf(value);
  const name = proto === Object.prototype ? '' : proto === null ? '(no prototype)' : value.constructor?.name ?? '?';
  return `${name}{${Object.keys(value).map((k) => `${k}: ${inner(value[k])}`).join(', ')}}`;
}

/** `Name: message`, the way both runtimes are asked to agree on errors. */
export function showThrown(error) {
  if (!(error instanceof Error)) return `throws ${show(error)}`;
  return `throws ${error.name}: ${error.message.replaceAll(/[0-9a-f]{64}/g, '<id>')}`;
}

function showText(text) {
  const quoted = JSON.stringify(text).replaceAll('\u007f', '\\u007f');
  return quoted.length <= MAX_TEXT ? quoted : `${quoted.slice(0, 40)}… (${text.length} characters)`;
}

function showArray(array, inner) {
  const parts = [];
  let holes = 0;
  const closeHoles = () => {
    if (holes > 0) parts.push(holes === 1 ? '<hole>' : `<${holes} holes>`);
    holes = 0;
  };
  for (let i = 0; i < array.length; i++) {
    if (i in array) {
      closeHoles();
      parts.push(inner(array[i]));
    } else {
      holes++;
    }
  }
  closeHoles();
  const others = Object.keys(array).filter((key) => String(key >>> 0) !== key);
  return `[${[...parts, ...others.map((key) => `${key}: ${inner(array[key])}`)].join(', ')}]`;
}

function showError(error, inner) {
  const extra = Object.keys(error).filter((k) => k !== 'stack').map((k) => `, ${k}: ${inner(error[k])}`).join('');
  const cause = Object.hasOwn(error, 'cause') ? `, cause: ${inner(error.cause)}` : '';
  return `${error.constructor.name}(${error.name}: ${error.message}${cause}${extra})`;
}

function hex(bytes) {
  const shown = Array.from(bytes.subarray(0, 64), (b) => b.toString(16).padStart(2, '0')).join('');
  return bytes.length > 64 ? `${shown}… ${bytes.length} bytes` : shown;
}
