import { describe, expect, it } from 'vitest';
import {
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  noRetry,
  range,
  read,
  sendNumbers,
  startEmulator,
} from './clients.ts';

describe('owner levels', () => {
  it('let a reader with a higher level take over and disconnect the one before', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 10);
    const first = read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 1 });
    await first.received(10);
    const second = read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 2 });
    await second.received(10);
    const error = await first.failed;
    expect(error).toMatchObject({ code: 'ReceiverDisconnectedError' });
    expect(error.message).toContain("higher epoch of '2'");
    expect(emulator.readerCount(hub, 0)).toBe(1);
  });

  it('let a reader with the same level take over', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 10);
    const first = read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 3 });
    await first.received(10);
    const second = read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 3 });
    await second.received(10);
    expect(await first.failed).toMatchObject({ code: 'ReceiverDisconnectedError' });
  });

  it('refuse a reader with a lower level and leave the owner alone', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    await sendNumbers(producer, '0', 0, 10);
    const owner = read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 7 });
    await owner.received(10);
    const error = await read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 6 }).failed;
    expect(error).toMatchObject({ code: 'ReceiverDisconnectedError' });
    expect(error.message).toContain("higher epoch '7' already exists");
    await sendNumbers(producer, '0', 10, 20);
    expect((await owner.received(20)).map((event) => event.body)).toEqual(range(0, 20));
  });

  it('refuse a reader without level while one with level is there, and allow it afterwards', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 5);
    const owner = read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 1 });
    await owner.received(5);
    const error = await read(connectConsumer(emulator, noRetry), '0', earliest).failed;
    expect(error).toMatchObject({ code: 'ReceiverDisconnectedError' });
    expect(error.message).toContain("created with epoch of '1', and so non-epoch receiver is not allowed");
    await owner.close();
    await read(connectConsumer(emulator, noRetry), '0', earliest).received(5);
  });

  it('disconnect readers without level when one with level comes', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 5);
    const plain = read(connectConsumer(emulator, noRetry), '0', earliest);
    await plain.received(5);
    await read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 1 }).received(5);
    expect(await plain.failed).toMatchObject({ code: 'ReceiverDisconnectedError' });
  });

  it('count per partition and consumer group', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    await sendNumbers(producer, '0', 0, 5);
    await sendNumbers(producer, '1', 0, 5);
    await read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 9 }).received(5);
    await read(connectConsumer(emulator, noRetry), '1', earliest).received(5);
    await read(connectConsumer(emulator, noRetry, '$Default'), '0', earliest).received(5);
    await read(connectConsumer(emulator, noRetry, '$default'), '0', earliest, { ownerLevel: 1 }).received(5);
  });

  it('hold to a limit of five readers without level', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 5);
    for (let i = 0; i < 5; i++) await read(connectConsumer(emulator, noRetry), '0', earliest).received(5);
    const error = await read(connectConsumer(emulator, noRetry), '0', earliest).failed;
    expect(error).toMatchObject({ code: 'QuotaExceededError' });
    expect(error.message).toContain('allowed receivers per partition in a consumer group which is 5');
  });

  it('are free again when the connection of the owner is gone', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 5);
    const consumer = connectConsumer(emulator, noRetry);
    await read(consumer, '0', earliest, { ownerLevel: 5 }).received(5);
    await consumer.close();
    await read(connectConsumer(emulator, noRetry), '0', earliest, { ownerLevel: 1 }).received(5);
  });
});
