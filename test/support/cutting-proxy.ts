import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What happens to one request on its way. */
export type Fault =
  | 'pass'
  /** The server handles it; the connection breaks before the answer. */
  | 'cut-answer'
  /** The connection breaks in the middle of the body of the answer. */
  | 'cut-body'
  /** The server never sees it, the connection breaks. */
  | 'drop'
  /** The server never sees it and nobody answers. */
  | 'ignore'
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>> };

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
}

export interface CuttingProxy {
  readonly port: number;
  /** Requests so far, in order. */
  readonly requests: readonly ProxiedRequest[];
  /** Faults for the requests to come, one each; after them everything passes. */
  script(...faults: Fault[]): void;
  /** Decides on every request, until the next call. */
  decide(fault: (request: ProxiedRequest) => Fault): void;
  close(): Promise<void>;
}

/** An HTTP proxy in front of a server on this machine that breaks what it is told to break. */
export async function startCuttingProxy(targetPort: number): Promise<CuttingProxy> {
  const requests: ProxiedRequest[] = [];
  let decide: (request: ProxiedRequest) => Fault = () => 'pass';

  const server = createServer((incoming, answer) => {
    const proxied = { method: incoming.method ?? '', url: incoming.url ?? '' };
    requests.push(proxied);
    const fault = decide(proxied);
    if (fault === 'ignore') return void incoming.resume();
    if (fault === 'drop') return void incoming.socket.destroy();
    if (typeof fault === 'object') {
      incoming.resume();
      incoming.on('end', () => answer.writeHead(fault.status, fault.headers).end());
      return;
    }
    void forward(targetPort, incoming, answer, fault);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    requests,
    script: (...faults) => {
      decide = () => faults.shift() ?? 'pass';
    },
    decide: (fault) => {
      decide = fault;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function forward(
  port: number,
  incoming: IncomingMessage,
  answer: ServerResponse,
  fault: 'pass' | 'cut-answer' | 'cut-body',
): Promise<void> {
  try {
    const { method, url: path, headers } = incoming;
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers, agent: false });
    incoming.pipe(outgoing);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    // Whole before anything is passed on: the server is surely done with the request.
    const body = Buffer.concat(await response.toArray());
    if (fault === 'cut-answer') return void incoming.socket.destroy();
    answer.writeHead(response.statusCode ?? 500, response.headers);
    if (fault === 'pass') return void answer.end(body);
    answer.write(body.subarray(0, Math.floor(body.length / 2)), () => incoming.socket.destroy());
  } catch {
    incoming.socket.destroy();
  }
}
