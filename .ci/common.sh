# What `.ci/run` and `.ci/long` share. Sourced, from the top folder of the repository.

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/tools
export PATH=$tools/bin:$PATH
cargo_fuzz_version=0.13.2

failed=()
not_made=()

# The sections that are wanted; none: all.
wanted=()

# Runs a command as a section with a name: prints how long it took, and goes on to the next if it fails.
section() {
    local name=$1 began=$SECONDS status
    shift
    [[ ${#wanted[@]} == 0 || " ${wanted[*]} " == *" $name "* ]] || return 0
    echo "== $name"
    set +e
    (
        set -e
        "$@"
    ) </dev/null
    status=$?
    set -e
    case $status in
        0) echo "-- $name: $((SECONDS - began)) s" ;;
        "$missing_tool") not_made+=("$name") ;;
        *)
            failed+=("$name")
            echo "-- $name: FAILED after $((SECONDS - began)) s"
            ;;
    esac
}

# A check that can not be made here: a failure where CI is true, elsewhere only said.
missing_tool=77
missing() {
    echo "not made: $1 is missing"
    [[ ${CI:-} == true ]] && exit 1
    exit "$missing_tool"
}

# A Debian package, if the command that it brings is not there.
need() {
    local command=$1 package=$2
    command -v "$command" >/dev/null && return
    if command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
        { apt-get update -qq && apt-get install -y -qq "$package"; } >&2 || true
    fi
    command -v "$command" >/dev/null || missing "$command (Debian package $package)"
}

# Fuzzes every target for so many seconds each. The corpus lies below the target folder and grows from run to run.
fuzz() {
    local seconds=$1 name corpus
    cargo +nightly --version >/dev/null 2>&1 || missing "the nightly toolchain"
    # The fuzzing engine is written in C++.
    need c++ g++
    if [[ $(cargo-fuzz --version 2>/dev/null || true) != "cargo-fuzz $cargo_fuzz_version" ]]; then
        cargo install cargo-fuzz --version "$cargo_fuzz_version" --locked --force --root "$tools"
    fi
    for name in decode recording step; do
        corpus=$target/fuzz-corpus/$name
        mkdir -p "$corpus"
        # Without unsafe code there is nothing for the address sanitizer to find; without it everything is faster.
        cargo +nightly fuzz run --sanitizer none --target-dir "$target/fuzz" "$name" "$corpus" -- \
            -max_total_time="$seconds" -max_len=6000 -len_control=0 -print_final_stats=1 -print_funcs=0 -verbosity=0
    done
}

# The last line: what failed, or that all is green. Whatever ran, the tree is as it was.
verdict() {
    if [[ $(git status --porcelain 2>/dev/null) != "$tree_before" ]]; then
        git status --short
        failed+=("the tree has changed")
    fi
    for name in "${not_made[@]}"; do
        echo "not made: $name"
    done
    if [[ ${#failed[@]} -ne 0 ]]; then
        (IFS=,; echo "FAILED after $SECONDS s: ${failed[*]}")
        exit 1
    fi
    echo "green after $SECONDS s"
}

tree_before=$(git status --porcelain 2>/dev/null || true)
