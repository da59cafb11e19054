// What the page and the room say to each other, as JSON in text messages.
//
// Two kinds of message are not in here. A binary message from the page is the
// bytes of a new portrait. The text "ping" is answered with "pong" by the
// runtime itself, and the room hears nothing of it.

/** What the page says. */
export interface Say {
  type: "say";
  text: string;
  /** Made up by the page and repeated by the room, so that the page may say a thing again after a lost connection and it is told once. */
  ref?: string;
}

export interface Person {
  name: string;
  /** Where the picture is, `/api/room/…/portrait/{portrait}`, if there is one. */
  portrait: string | null;
}

export interface Message {
  id: number;
  name: string;
  text: string;
  /** Milliseconds since 1970. */
  sent: number;
  ref: string | null;
}

/** What the room tells. */
export type News =
  | { type: "welcome"; you: string; people: Person[]; messages: Message[]; sleepsAfter: number }
  | { type: "message"; message: Message }
  | { type: "join"; person: Person }
  | { type: "quit"; name: string }
  | { type: "portrait"; person: Person }
  /** Too fast: try again in `wait` milliseconds. */
  | { type: "slow"; wait: number; ref: string | null }
  | { type: "refused"; why: string; ref: string | null };

/**
 * Everything that the room tells carries the moment at which this instance of
 * it was constructed. When it changes, the room has slept in between.
 */
export type FromRoom = News & { awakeSince: number };
