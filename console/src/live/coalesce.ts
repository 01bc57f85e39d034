/** Changes that come faster than a page may ask for them: gathered, and told at most so often. */

export interface Gathered {
  /** Ids of the instances that changed; null: so many, or unknown ones, that all may have. */
  instances: Set<string> | null
}

const MOST = 500

/** Gather changes; `flush` gets them at most once in `every` ms, and not while it is paused. */
export class Coalescer {
  private waiting: Gathered | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private last = Number.NEGATIVE_INFINITY
  private paused = false

  constructor(
    private readonly every: number,
    private readonly flush: (changes: Gathered) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  add(instances: Iterable<string> | null): void {
    this.waiting ??= { instances: new Set() }
    if (instances === null) this.waiting.instances = null
    for (const id of instances ?? []) this.waiting.instances?.add(id)
    if ((this.waiting.instances?.size ?? 0) > MOST) this.waiting.instances = null
    this.plan()
  }

  /** While the page is hidden nothing is asked for; the changes are told when it is seen again. */
  pause(paused: boolean): void {
    this.paused = paused
    if (paused) {
      clearTimeout(this.timer)
      this.timer = undefined
    } else this.plan()
  }

  private plan(): void {
    if (this.paused || !this.waiting || this.timer !== undefined) return
    const wait = Math.max(0, this.last + this.every - this.now())
    this.timer = setTimeout(() => {
      this.timer = undefined
      const changes = this.waiting
      this.waiting = null
      this.last = this.now()
      if (changes) this.flush(changes)
    }, wait)
  }
}
