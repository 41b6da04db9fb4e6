#!/bin/sh
# The recipe `photo` on an NVIDIA card, where nothing but this script and one archive are at hand.
#
#   photo.sh pack ADEM DATA TEACHER ARCHIVE   program (a release build, stripped), shards of pictures,
#                                             texts and teacher into one archive
#   photo.sh run ARCHIVE OUT [SECONDS]        unpacks it, trains on CUDA into OUT for at most SECONDS;
#                                             the same command goes on where it stopped
#
# DATA holds flickr8k/*.tar and captions_text/*.txt, TEACHER is what `adem import` makes of a vision
# encoder. On a card the grids are 16x16 and 8x8, four times the recipe's patches. PHOTO_DEVICE=cpu
# tries the script without a card; PHOTO_SET holds other `--set` options in place of those grids'.
set -eu

usage() {
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# Pictures are packed already; what is around them in the shards is not.
pack() {
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    mkdir "$place/photo"
    cp "$1" "$place/photo/adem"
    cp "$2"/flickr8k/*.tar "$2"/captions_text/*.txt "$place/photo"
    cp -r "$3" "$place/photo/teacher"
    chmod -R u+w "$place/photo"
    tar -C "$place" -cf - photo | xz -9e -T1 > "$4.part"
    mv "$4.part" "$4"
    ls -l "$4"
}

train() {
    archive=$1 out=$2 seconds=${3:-0}
    mkdir -p "$out"
    if [ ! -d "$out/photo" ]; then
        mkdir -p "$out/unpacking"
        tar -C "$out/unpacking" -xJf "$archive"
        mv "$out/unpacking/photo" "$out/photo"
        rmdir "$out/unpacking"
    fi
    cd "$out/photo"
    shards() { printf '["%s"' "$1"; shift; for shard; do printf ',"%s"' "$shard"; done; printf ']'; }
    train=$(shards train-*.tar) dev=$(shards dev-*.tar) texts=$(shards ./*.txt)
    # shellcheck disable=SC2086 # options of the caller's, in words
    set -- ./adem train --recipe photo --device "${PHOTO_DEVICE:-cuda}" --out ../run \
        --set "data.source.shards=$train" --set "validation.data.source.shards=$dev" \
        --set "read.texts=$texts" --set see.teacher.package=teacher \
        ${PHOTO_SET:---set model.clip.patch=8 --set model.adem.down_sample=[256,64]}
    # SIGINT ends the step at hand and saves.
    [ "$seconds" = 0 ] || set -- timeout --signal=INT "$seconds" "$@"
    "$@"
}

case "${1:-} $#" in
    "pack 5") shift; pack "$@" ;;
    "run 3" | "run 4") shift; train "$@" ;;
    *) usage ;;
esac
