// A thread's side of its messages, in a Web Worker.

/** What a worker has of its scope. */
declare const self: {
  postMessage(message: unknown): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
};

/** Hears what the thread that has started this one says, from the first message on where it is called before any `await`. */
export const listen = (listener: (message: unknown) => void): void => self.addEventListener('message', ({ data }) => listener(data));

/** Tells it something. */
export const tell = (message: unknown): void => self.postMessage(message);
