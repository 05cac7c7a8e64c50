// A type of Grafana's as it stands in JSON: a member of an enumeration as its text.
export type Wire<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends readonly (infer One)[]
        ? Wire<One>[]
        : T extends object
          ? { [Key in keyof T]: Wire<T[Key]> }
          : T;
