// The benchmark's peer: Socket.IO as its guide shows it, doing what the clinic's socket server does
// for a message. It is numbered under the lock of its conversation's row, stored, committed, and
// only then acknowledged and sent to everybody; the same client_id again gets the same number.
//
// It does less where less is usual: who takes part is looked up when a socket connects and not for
// each message, and there are no heads, no look at lost access and no answer outside office hours.
"use strict";

const { createServer } = require("node:http");
const mysql = require("mysql2/promise");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");

const settings = JSON.parse(process.env.PEER);
const DUPLICATE = "ER_DUP_ENTRY";
const TRANSIENT = new Set(["ER_LOCK_DEADLOCK", "ER_LOCK_WAIT_TIMEOUT", "ER_CHECKREAD"]);
const ATTEMPTS = 5;

const pool = mysql.createPool({
  uri: settings.database,
  connectionLimit: settings.connections,
  timezone: "Z",
  charset: "utf8mb4",
});
pool.on("connection", (connection) => {
  connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
});

const MINE = `SELECT c.id, c.public_id FROM chat_conversation c
  JOIN accounts_patient p ON p.id = c.patient_id WHERE p.account_id = ?
  UNION SELECT c.id, c.public_id FROM chat_conversation c
  JOIN directory_doctor d ON d.id = c.doctor_id WHERE d.user_id = ?`;
const LOCK = "SELECT last_seq FROM chat_conversation WHERE id = ? FOR UPDATE";
const INSERT = `INSERT INTO chat_event
  (conversation_id, seq, kind, sender_id, client_id, body, target, reply_to, attachment_id, at)
  VALUES (?, ?, 'message', ?, ?, ?, NULL, NULL, NULL, ?)`;
const UPDATE = `UPDATE chat_conversation
  SET last_seq = ?, last_event_at = ?, waiting_since = ? WHERE id = ?`;
const KNOWN = `SELECT conversation_id, seq, body, at FROM chat_event
  WHERE sender_id = ? AND client_id = ?`;

/** The message's number and time; `isNew` is false when this client_id was stored before. */
async function store(place, user, message) {
  for (let attempt = 1; ; attempt += 1) {
    const connection = await pool.getConnection();
    try {
      const at = new Date();
      await connection.beginTransaction();
      const [[row]] = await connection.execute(LOCK, [place.id]);
      const seq = row.last_seq + 1;
      const { client_id: clientId, body } = message;
      await connection.execute(INSERT, [place.id, seq, user.id, clientId, body, at]);
      await connection.execute(UPDATE, [seq, at, user.isPatient ? at : null, place.id]);
      await connection.commit();
      return { seq, at, isNew: true };
    } catch (error) {
      await connection.rollback();
      if (error.code === DUPLICATE) {
        const [[known]] = await connection.execute(KNOWN, [user.id, message.client_id]);
        if (known && known.conversation_id === place.id && known.body === message.body) {
          return { seq: known.seq, at: known.at, isNew: false };
        }
        throw error;
      }
      if (!TRANSIENT.has(error.code) || attempt === ATTEMPTS) throw error;
    } finally {
      connection.release();
    }
  }
}

async function main() {
  const publisher = createClient({ url: settings.redis });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  const io = new Server(http, {
    adapter: createAdapter(publisher, subscriber),
    transports: ["websocket"],
    maxHttpBufferSize: 64 * 1024,
  });

  io.on("connection", async (socket) => {
    const user = socket.handshake.auth;
    const places = new Map();
    socket.on("send", async (message, answer) => {
      const place = places.get(message.conversation);
      if (!place || typeof message.body !== "string" || message.body.length > 4000) {
        answer({ code: "bad_frame" });
        return;
      }
      try {
        const { seq, at, isNew } = await store(place, user, message);
        const { conversation, client_id, body } = message;
        if (isNew) {
          const { name, uuid: sender } = user;
          const event = { conversation, seq, client_id, sender, name, body, at };
          io.to(conversation).emit("message", event);
        }
        answer({ client_id, conversation, seq, at });
      } catch (error) {
        console.error(error.code, error.message);
        answer({ code: "unavailable" });
      }
    });
    const [rows] = await pool.execute(MINE, [user.id, user.id]);
    for (const row of rows) {
      places.set(row.public_id, row);
      socket.join(row.public_id);
    }
    socket.emit("welcome", { conversations: rows.length });
  });
  http.listen({ host: "127.0.0.1", port: settings.port, backlog: 2048 });
}

main();
