// Objects that write numbers down and go back in time: POST /NAME/OPERATION with an argument as JSON.
import { DurableObject } from "cloudflare:workers";

interface Env {
  OBJECTS: DurableObjectNamespace<Diary>;
  CLASSIC: DurableObjectNamespace<Classic>;
}

export class Diary extends DurableObject<Env> {
  async run(operation: string, argument: any): Promise<unknown> {
    const { storage } = this.ctx;
    switch (operation) {
      case "write": // A number, in a row, in a key and in a large value; and its bookmark.
        storage.sql.exec("CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY, pad BLOB)");
        storage.sql.exec("INSERT OR REPLACE INTO numbers VALUES (?, ?)", argument, new Uint8Array(20_000).fill(argument));
        await storage.put("last", argument);
        return await storage.getCurrentBookmark();
      case "read":
        try {
          const rows = storage.sql.exec("SELECT count(*) AS count, max(n) AS last, sum(unicode(hex(substr(pad, 1, 1)))) AS pads FROM numbers").one();
          return { last: (await storage.get("last")) ?? null, count: rows.count, alarm: await storage.getAlarm(), ran: (await storage.get("ran")) ?? 0 };
        } catch {
          return { last: (await storage.get("last")) ?? null, count: 0, alarm: await storage.getAlarm(), ran: (await storage.get("ran")) ?? 0 };
        }
      case "bookmark":
        return await storage.getCurrentBookmark();
      case "at":
        return await storage.getBookmarkForTime(argument);
      case "restore": // Takes effect when the object begins again.
        return await storage.onNextSessionRestoreBookmark(argument);
      case "abort":
        this.ctx.abort("back to the past");
        return null;
      case "alarm":
        await storage.setAlarm(Date.now() + argument);
        return await storage.getCurrentBookmark();
      case "no alarm":
        await storage.deleteAlarm();
        return await storage.getCurrentBookmark();
      case "delete all":
        await storage.deleteAll();
        return await storage.getCurrentBookmark();
      case "now":
        return Date.now();
      default:
        throw new Error(`no operation ${operation}`);
    }
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.put("ran", ((await this.ctx.storage.get<number>("ran")) ?? 0) + 1);
  }
}

export class Classic extends DurableObject<Env> {
  async run(operation: string, argument: any): Promise<unknown> {
    const { storage } = this.ctx;
    if (operation === "write") return await storage.put("last", argument);
    if (operation === "at") return await storage.getBookmarkForTime(argument);
    return await storage.onNextSessionRestoreBookmark(argument);
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (request.method !== "POST") return new Response("ready");
    const [, name = "", operation = ""] = new URL(request.url).pathname.split("/").map(decodeURIComponent);
    const argument = await request.json();
    try {
      const objects = name.startsWith("classic") ? env.CLASSIC : env.OBJECTS;
      return Response.json((await objects.getByName(name).run(operation, argument)) ?? null);
    } catch (e) {
      return new Response(String(e), { status: 500 });
    }
  },
} satisfies ExportedHandler<Env>;
