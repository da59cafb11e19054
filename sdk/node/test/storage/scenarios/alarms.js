// Setting, reading and deleting alarms. Firing them is the host's part.

const FAR = 4102444800000; // 2100-01-01

export const alarms = [
  {
    name: 'alarms: set, get, delete',
    backend: 'sql',
    steps: [
      async ({ storage, see }) => {
        await see('none', () => storage.getAlarm());
        await see('set', () => storage.setAlarm(FAR));
        await see('get', () => storage.getAlarm());
        await see('set a date', async () => { await storage.setAlarm(new Date(FAR + 1)); return storage.getAlarm(); });
        await see('fraction', async () => { await storage.setAlarm(FAR + 1.9); return storage.getAlarm(); });
        await see('past becomes now', async () => { const before = Date.now(); await storage.transaction(async (t) => { await t.setAlarm(5); const at = await t.getAlarm(); t.rollback(); return at; }).then((at) => { if (at < before || at > Date.now() + 1000) throw new Error(`${at}`); }); return 'now'; });
        await see('zero', () => storage.setAlarm(0));
        await see('negative', () => storage.setAlarm(-1));
        await see('NaN', () => storage.setAlarm(NaN));
        await see('Infinity', () => storage.setAlarm(Infinity));
        await see('invalid date', () => storage.setAlarm(new Date(NaN)));
        await see('text', () => storage.setAlarm('2100-01-01'));
        await see('null', () => storage.setAlarm(null));
        await see('nothing', () => storage.setAlarm());
        await see('object', () => storage.setAlarm({}));
        await see('BigInt', () => storage.setAlarm(5n));
        await see('boolean', () => storage.setAlarm(true));
        await see('date before 1970', () => storage.setAlarm(new Date(-5)));
        await see('after 2189', () => storage.setAlarm(8e15));
        await see('last time that fits', async () => { await storage.setAlarm(6.9e12); return storage.getAlarm(); });
        await see('too far by a little', () => storage.setAlarm(6.95e12));
        await see('9.2e12', () => storage.setAlarm(9.2e12));
        await see('9.3e12', () => storage.setAlarm(9.3e12));
        await see('with options', () => storage.setAlarm(FAR, { allowUnconfirmed: true, allowConcurrency: true }));
        await see('with bad options', () => storage.setAlarm(FAR, 5));
        await see('get with options', () => storage.getAlarm({ allowConcurrency: true }));
        await see('get with bad options', () => storage.getAlarm(5));
        await see('delete', async () => { await storage.deleteAlarm(); return storage.getAlarm(); });
        await see('delete again', () => storage.deleteAlarm());
        await see('in a transaction', async () => { await storage.transaction(async (t) => { await t.setAlarm(FAR); }); return storage.getAlarm(); });
        await see('rolled back', async () => { await storage.transaction(async (t) => { await t.setAlarm(FAR + 5); t.rollback(); }); return storage.getAlarm(); });
        await see('deleted and rolled back', async () => { await storage.transaction(async (t) => { await t.deleteAlarm(); t.rollback(); }); return storage.getAlarm(); });
        await see('in transactionSync, rolled back', () => { try { storage.transactionSync(() => { storage.setAlarm(FAR + 9); throw 0; }); } catch { /* wanted */ } return storage.getAlarm(); });
        see('table of alarms', () => storage.sql.exec("select name from sqlite_master where name like '\\_cf\\_%' escape '\\'").toArray());
      },
      async ({ storage, see }) => {
        await see('kept', () => storage.getAlarm());
        await storage.deleteAlarm();
      },
      async ({ storage, see }) => see('deletion kept', () => storage.getAlarm()),
    ],
  },
  {
    name: 'alarms: while the handler runs',
    backend: 'sql',
    steps: [
      async ({ storage, mem }) => {
        mem.seen = [];
        mem.onAlarm = async (s) => {
          mem.seen.push(['running', await s.getAlarm()]);
          await s.put('ran', 1);
          await s.deleteAlarm();
          mem.seen.push(['after deleteAlarm', await s.getAlarm()]);
          await s.setAlarm(FAR);
          mem.seen.push(['set anew', await s.getAlarm()]);
        };
        await storage.setAlarm(Date.now());
      },
      async ({ storage, see, mem }) => {
        for (let i = 0; i < 400 && mem.seen.length < 3; i++) await new Promise((r) => setTimeout(r, 10));
        see('what the handler saw', () => mem.seen);
        await see('afterwards', () => storage.getAlarm());
        mem.seen = [];
        mem.onAlarm = async (s) => { mem.seen.push(await s.getAlarm()); };
        await storage.setAlarm(Date.now());
      },
      async ({ storage, see, mem }) => {
        for (let i = 0; i < 400 && mem.seen.length < 1; i++) await new Promise((r) => setTimeout(r, 10));
        see('second run', () => mem.seen);
        await see('nothing left', () => storage.getAlarm());
        see('key of info', () => Object.keys(mem.alarms[0] ?? {}).sort());
      },
    ],
  },
  {
    name: 'alarms: class without a handler',
    backend: 'plain',
    steps: [
      async ({ storage, see }) => {
        await see('set', () => storage.setAlarm(FAR));
        await see('bad time', () => storage.setAlarm(0));
        await see('get', () => storage.getAlarm());
        await see('delete', () => storage.deleteAlarm());
        await see('in a transaction', () => storage.transaction(async (t) => t.setAlarm(FAR)));
      },
    ],
  },
];
