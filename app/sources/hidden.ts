// What systems and programs put beside people's files. One rule for every command that looks into a folder.

const HIDDEN: ReadonlySet<string> = new Set(
  [
    '@eaDir',
    '__MACOSX',
    '$RECYCLE.BIN',
    'System Volume Information',
    'Thumbs.db',
    'ehthumbs.db',
    'desktop.ini',
    'Icon\r',
    '#recycle',
    'lost+found',
  ].map((name) => name.toLowerCase()),
);

/** Whether an entry of a folder is not a person's: a dot file (`._photo.jpg` among them), a recycle bin, thumbnails. */
export const isHidden = (name: string): boolean => name.startsWith('.') || HIDDEN.has(name.toLowerCase());
