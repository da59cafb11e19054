import type { Env } from "./room";
import css from "./page/chat.css";
import html from "./page/chat.html";
import script from "./page/chat.js";
import icon from "./page/dormouse.svg";

export { ChatRoom } from "./room";

const LONGEST_ROOM_NAME = 64;

export default {
  async fetch(request, env): Promise<Response> {
    const { pathname } = new URL(request.url);

    // /api/room/:name/… belongs to the room of that name. One object per name,
    // wherever the request comes from: that is what makes it a room.
    const room = /^\/api\/room\/([^/]+)\/./.exec(pathname);
    if (room) {
      const name = decode(room[1]!);
      if (!name || name.length > LONGEST_ROOM_NAME) {
        return new Response("A room's name has 1 to 64 characters.\n", { status: 400 });
      }
      return env.ROOMS.getByName(name).fetch(request);
    }

    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("Only GET is understood here.\n", { status: 405, headers: { Allow: "GET, HEAD" } });
    }
    if (pathname === "/" || /^\/room\/[^/]+$/.test(pathname)) return file(html, "text/html");
    if (pathname === "/chat.css") return file(css, "text/css");
    if (pathname === "/chat.js") return file(script, "text/javascript");
    if (pathname === "/dormouse.svg") return file(icon, "image/svg+xml");
    return new Response("There is nothing here.\n", { status: 404 });
  },
} satisfies ExportedHandler<Env>;

function file(text: string, type: string): Response {
  return new Response(text, {
    headers: {
      "Content-Type": `${type}; charset=utf-8`,
      "Content-Security-Policy":
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-cache",
    },
  });
}

/** The text behind a part of a path, or "" where it cannot be read. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part).trim();
  } catch {
    return "";
  }
}
