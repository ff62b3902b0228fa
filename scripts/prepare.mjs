// `npm ci` in a clone compiles the program. Without the development dependencies there is no compiler: what was compiled before stays.
// So it does under `npx hybrid`, which links the clone into a folder of its own and prepares it again.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const isCompiled = existsSync(new URL('../dist/cli/main.js', import.meta.url));
if (isCompiled && process.env.npm_command === 'exec') process.exit();
if (existsSync(new URL('../node_modules/typescript', import.meta.url))) {
  // npm hands its own program on; elsewhere the shell finds one.
  const npm = process.env.npm_execpath;
  const [program, argv] = npm?.endsWith('.js') ? [process.execPath, [npm, 'run', 'build']] : ['npm', ['run', 'build']];
  process.exitCode = spawnSync(program, argv, { stdio: 'inherit', shell: program === 'npm' }).status ?? 1;
} else if (!isCompiled) {
  process.stderr.write(
    'hybrid is not compiled yet, and the compilers are development dependencies.\n' +
      'Run `npm ci` once, then `npm prune --omit=dev` removes them again (docs/installation.md).\n',
  );
  process.exitCode = 1;
}
