import { createMergeableStore } from "tinybase";
import { createDurableObjectSqlStoragePersister } from "tinybase/persisters/persister-durable-object-sql-storage";
import { getWsServerDurableObjectFetch, WsServerDurableObject } from "tinybase/synchronizers/synchronizer-ws-server-durable-object";

/** A store in SQL; what the hooks hear is kept beside it. */
export class Stores extends WsServerDurableObject {
  createPersister() {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS heard (n INTEGER PRIMARY KEY, what TEXT)");
    return createDurableObjectSqlStoragePersister(createMergeableStore(), this.ctx.storage.sql, { mode: "fragmented", storagePrefix: "s_" });
  }

  #heard(what) {
    this.ctx.storage.sql.exec("INSERT INTO heard (what) VALUES (?)", what);
  }

  onPathId(_pathId, change) {
    this.#heard(`path ${change}`);
  }

  onClientId(_pathId, _clientId, change) {
    this.#heard(`client ${change} of ${this.getClientIds().length}`);
  }

  heard() {
    return [...this.ctx.storage.sql.exec("SELECT what FROM heard ORDER BY n")].map((r) => r.what);
  }
}

const stores = getWsServerDurableObjectFetch("Stores");

export default {
  async fetch(request, env) {
    if (request.headers.get("upgrade") === "websocket") return stores(request, env);
    return Response.json(await env.Stores.getByName("pets").heard());
  },
};
