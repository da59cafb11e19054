import { routePartykitRequest } from "partyserver";
import { YServer } from "y-partyserver";
import * as Y from "yjs";

/** A document that is kept as one BLOB. */
export class Doc extends YServer {
  static options = { hibernate: true };
  static callbackOptions = { debounceWait: 100, debounceMaxWait: 500 };

  async onLoad() {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, content BLOB)");
    const [row] = this.ctx.storage.sql.exec("SELECT content FROM documents WHERE id = 'main'");
    this.loaded = row === undefined ? "nothing" : `${row.content.constructor.name} ${row.content.byteLength}`;
    if (row !== undefined) Y.applyUpdate(this.document, new Uint8Array(row.content));
  }

  async onSave() {
    const update = Y.encodeStateAsUpdate(this.document);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO documents (id, content) VALUES ('main', ?)", update);
    this.broadcastCustomMessage(`saved ${update.byteLength}`);
  }

  onCustomMessage(connection, message) {
    this.sendCustomMessage(connection, `re:${message} ${this.loaded}`);
    this.broadcastCustomMessage(`bc:${message}`, connection);
  }
}

export default {
  async fetch(request, env) {
    return (await routePartykitRequest(request, env)) ?? new Response("not found", { status: 404 });
  },
};
