// A Worker that runs, and whose every part is warned of.
export class Hall {}

export default { fetch: (request) => new Response(typeof request === "objekt") };
