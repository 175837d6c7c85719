#!/bin/bash
# commands.sh PROGRAM TIMED OFFICIAL_PACK_MAKER FOLDER DEFAULT_PACK MOTION: whole commands, program start and files included, on the shipped
# pack and on one of the official sizes with random weights. FOLDER holds that pack (800 MB) and what the commands write.
set -eu
program=$1 timed=$2 make_pack=$3 folder=$4 small=$5 motion=$6
official=$folder/official.safetensors
mkdir -p "$folder"
[ -f "$official" ] || "$make_pack" "$official"
run() { local runs=$1 name=$2; shift 2; "$timed" "$runs" "$name" "$program" --quiet "$@"; }
run 5 "default pack: one avatar, unipc, 36 views of 512" generate --model "$small" --sampler unipc --count 1 --seed 7 --views 36 -o "$folder/default"
run 1 "official size: one avatar, ddim 50, fp32, no views" generate --model "$official" --count 1 --views 0 --no-panels --precision fp32 -o "$folder/ddim"
run 3 "official size: unipc, its usual steps, 36 views, all panels" generate --model "$official" --count 1 --sampler unipc --release-names --precision fp32 -o "$folder/few"
run 3 "official size: animate 60 frames of 1024, PNG and film" animate --model "$official" --avatar "$folder/ddim/avatar_0000.safetensors" --motion "$motion" --start 3344 --frames 60 -o "$folder/walk"
run 5 "default pack: animate 60 frames of 512, PNG and film" animate --model "$small" --avatar "$folder/default/avatar_0000.safetensors" --motion "$motion" --start 3344 --frames 60 -o "$folder/small_walk"
