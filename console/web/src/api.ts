// Calls to the console's server.

export class ApiError extends Error {
  constructor(readonly status: number, message: string, readonly faults: { path: string; message: string }[] = []) {
    super(message);
  }
}

async function call<T>(method: string, path: string, document?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (document !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(document);
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(0, "the console does not respond");
  }
  const body: unknown = await response.json().catch(() => ({}));
  if (response.ok) return body as T;
  const { error, faults } = body as { error?: string; faults?: { path: string; message: string }[] };
  throw new ApiError(response.status, error ?? `error ${response.status}`, faults);
}

export const get = <T>(path: string): Promise<T> => call<T>("GET", path);
export const post = <T>(path: string, document: unknown): Promise<T> => call<T>("POST", path, document);
export const signOut = (): Promise<unknown> => call("DELETE", "/api/session");

export const part = encodeURIComponent;
export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
