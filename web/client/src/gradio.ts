/** Any Gradio Space, through `@gradio/client`, which is loaded when this is first used. */
import { DeviceError, NetworkError } from "./errors.ts";

/** How to reach a Space. */
export interface GradioOptions {
  /** For private Spaces. */
  token?: `hf_${string}`;
  /** Told when the Space wakes up. */
  onStatus?: (status: { status: string; message: string }) => void;
}

/** A Gradio app. */
export interface GradioApp {
  /** Calls one of its functions, by default the one of the page: its outputs as Gradio gives them. */
  call(inputs: unknown[] | Record<string, unknown>, endpoint?: string): Promise<unknown[]>;
  close(): void;
}

/**
 * Connects to a Gradio app.
 *
 * @param app - A Space ("user/name") or an address.
 * @param options - How.
 * @throws DeviceError - `@gradio/client` is not installed.
 * @throws NetworkError - The app cannot be reached, or its function fails.
 */
export async function connectGradio(app: string, options: GradioOptions = {}): Promise<GradioApp> {
  const { Client } = await import("@gradio/client").catch((cause: unknown) => {
    const fix = "Install it: npm install @gradio/client";
    throw new DeviceError("Gradio Spaces are reached by @gradio/client", "it is not there", fix, { cause });
  });
  const { token, onStatus } = options;
  const settings = {
    ...(token ? { token } : {}),
    ...(onStatus ? { status_callback: onStatus as never } : {}),
  };
  const client = await Client.connect(app, settings).catch((cause: unknown) => {
    throw failed(app, cause);
  });
  return {
    call: async (inputs, endpoint = "/predict") => {
      const found = await client.predict(endpoint, inputs).catch((cause: unknown) => {
        throw failed(`${app}${endpoint}`, cause);
      });
      return found.data as unknown[];
    },
    close: () => client.close(),
  };
}

function failed(what: string, cause: unknown): NetworkError {
  const said = cause instanceof Error ? cause.message : JSON.stringify(cause);
  return new NetworkError(
    "the Gradio app must answer",
    `'${what}' fails: ${said}`,
    "Try again, or look at its log.",
    {
      cause,
    },
  );
}
