import { TidemarkError } from '../../base/errors.ts';

/** Where a hub is and, unless a credential signs in, the key to it. */
export interface HubAddress extends HubServer {
  readonly hub: string;
}

interface HubServer {
  readonly host: string;
  readonly port: number;
  /** False only for the local emulator. */
  readonly tls: boolean;
  /** `sb://host[:port]/`: the start of every token audience. */
  readonly endpoint: string;
  readonly key: HubKey | undefined;
}

export type HubKey =
  | { readonly sharedAccessKeyName: string; readonly sharedAccessKey: string }
  | { readonly sharedAccessSignature: string };

/** @throws OPTION_INVALID naming the missing part; the message never repeats the string, it holds a key. */
export function parseConnectionString(text: string): {
  readonly server: HubServer;
  readonly entityPath: string | undefined;
} {
  const parts = new Map<string, string>();
  for (const part of text.split(';')) {
    const equals = part.indexOf('=');
    if (equals > 0) parts.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim());
  }
  const emulator = parts.get('usedevelopmentemulator') === 'true';
  const endpoint = /^(?:sb|amqps?):\/\/(\[[0-9a-f:]+\]|[^/:]+)(?::(\d{1,5}))?\/?$/i.exec(parts.get('endpoint') ?? '');
  if (!endpoint) throw invalid('Endpoint=sb://<namespace>.servicebus.windows.net/');
  const host = endpoint[1]!;
  const port = endpoint[2] === undefined ? (emulator ? 5672 : 5671) : Number(endpoint[2]);
  return {
    server: {
      host: host.replace(/^\[|\]$/g, ''),
      port,
      tls: !emulator,
      endpoint: `sb://${host}${endpoint[2] === undefined ? '' : `:${endpoint[2]}`}/`,
      key: parseKey(parts),
    },
    entityPath: parts.get('entitypath') || undefined,
  };
}

function parseKey(parts: ReadonlyMap<string, string>): HubKey {
  const sharedAccessSignature = parts.get('sharedaccesssignature');
  if (sharedAccessSignature) return { sharedAccessSignature };
  const sharedAccessKeyName = parts.get('sharedaccesskeyname');
  const sharedAccessKey = parts.get('sharedaccesskey');
  if (!sharedAccessKeyName) throw invalid('SharedAccessKeyName=<name>, or SharedAccessSignature=<signature>');
  if (!sharedAccessKey) throw invalid('SharedAccessKey=<key>');
  return { sharedAccessKeyName, sharedAccessKey };
}

function invalid(missing: string): TidemarkError {
  return new TidemarkError(
    'OPTION_INVALID',
    `The Event Hubs connection string has no valid ${missing}. Copy it from 'Shared access policies' of the namespace or hub; its form is 'Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=<name>;SharedAccessKey=<key>;EntityPath=<hub>'.`,
  );
}
