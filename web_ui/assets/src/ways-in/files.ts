// The files that somebody chooses, drops or pastes: all of them, those in folders too.

/** A file and the name it is listed under on this device, which is sent nowhere. */
export interface Chosen {
  file: File;
  name: string;
}

// What systems and exports leave in folders. A disc's index of DICOM files is no image either.
const LEFTOVER = /^(\..*|thumbs\.db|desktop\.ini|dicomdir|__macosx)$/i;

function wanted(chosen: Chosen): boolean {
  return !chosen.name.split("/").some((part) => LEFTOVER.test(part));
}

/** The files of a field; those of a folder without what the system left in it. */
export function fromList(files: FileList | null | undefined): Chosen[] {
  const all = [...(files ?? [])].map((file) => ({
    file,
    name: file.webkitRelativePath || file.name,
  }));
  return all.length > 1 || all[0]?.file.webkitRelativePath ? all.filter(wanted) : all;
}

function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  // A reader hands a folder out in parts; an empty part is its end.
  return new Promise((resolve, reject) => {
    const next = (): void =>
      reader.readEntries((part) => {
        found.push(...part);
        if (part.length) next();
        else resolve(found);
      }, reject);
    next();
  });
}

async function walk(entry: FileSystemEntry, most: number, found: Chosen[]): Promise<void> {
  // One more than may be taken tells that there are more.
  if (found.length > most) return;
  const name = entry.fullPath.replace(/^\//, "");
  if (LEFTOVER.test(entry.name)) return;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    found.push({ file, name });
    return;
  }
  const inside = await entriesOf(entry as FileSystemDirectoryEntry);
  inside.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  for (const one of inside) await walk(one, most, found);
}

/**
 * What was dropped, folders opened to their end.
 *
 * The entries are asked for at once: the browser forgets them when the event is over.
 */
export async function fromDrop(data: DataTransfer | null, most: number): Promise<Chosen[]> {
  const plain = fromList(data?.files);
  const entries = [...(data?.items ?? [])]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry());
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  const found: Chosen[] = [];
  for (const entry of entries) {
    // A file that cannot be opened must not keep the others from being read.
    if (entry) await walk(entry, most, found).catch(() => undefined);
  }
  return found;
}

/** Every name may be a patient's: what is sent is called the same for everybody. */
export function nameless(file: File): File {
  return new File([file], "image", { type: file.type });
}

/** `812 KB`, `4.2 MB`. */
export function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
