#!/bin/bash
# commands.sh PROGRAM PACK MOTION: the real program on the shipped pack, small and quick: what it writes, and one line and the
# right exit code for each kind of bad input. flat_body.npz is numpy.savez(v_template=numpy.zeros(9, float32)).
set -u
program=$1 pack=$2 motion=$3 here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 passed=0

# expect NAME CODE PATTERN COMMAND...: exit code, and one line on standard error that matches. Leftovers are checked apart.
expect() {
  local name=$1 code=$2 pattern=$3
  shift 3
  "$@" >"$work/out" 2>"$work/err"
  local got=$?
  if [ "$got" != "$code" ]; then
    echo "FAILED $name: exit $got, expected $code: $(cat "$work/err")"
    failed=$((failed + 1))
  elif [ -n "$pattern" ] && { [ "$(wc -l <"$work/err")" != 1 ] || ! grep -q -- "$pattern" "$work/err"; }; then
    echo "FAILED $name: expected one line with '$pattern', found: $(cat "$work/err")"
    failed=$((failed + 1))
  else
    passed=$((passed + 1))
  fi
}
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAILED $name" && failed=$((failed + 1)); fi
}
absent() { [ ! -e "$1" ]; }
same() { diff -rq "$1" "$2" >/dev/null; }

small=(--steps 2 --views 2 --size 64 --quiet)
expect generate 0 "" "$program" generate --model "$pack" --count 2 --seed 7 "${small[@]}" -o "$work/a"
expect "generate again" 0 "" "$program" generate --model "$pack" --count 2 --seed 7 "${small[@]}" -o "$work/b"
check "same seed, same bytes" same "$work/a" "$work/b"
expect "on one thread, where nothing is begun before the program is loaded" 0 "" "$program" --threads 1 generate --model "$pack" --count 2 --seed 7 "${small[@]}" -o "$work/single"
check "the same bytes" same "$work/a" "$work/single"
cp "$program" "$work/launcher"
expect "the launcher without its library" 1 "liblayeravatar.so beside the program" "$work/launcher" --version
check "a sheet" test -s "$work/a/contact_sheet.png"

printf 'count = 1\nsteps = 2\nviews = 2\nsize = 64\nseed = 8\n' >"$work/g.toml"
expect "settings file" 0 "" "$program" generate --model "$pack" --config "$work/g.toml" --set seed=3 --seed 7 --quiet -o "$work/c"
check "flags win over --set and the file" cmp -s "$work/a/avatar_0000.safetensors" "$work/c/avatar_0000.safetensors"
check "count came from the file" absent "$work/c/avatar_0001.safetensors"
printf 'stepz = 2\n' >"$work/bad.toml"
expect "unknown setting" 4 "bad.toml.stepz: no such setting of 'generate'" "$program" generate --model "$pack" --config "$work/bad.toml" -o "$work/x"
expect "unknown --set" 4 "no such setting" "$program" generate --model "$pack" --set foo=1 -o "$work/x"

printf '{"cam_param": [[1,0,0,0],[0,-1,0,0],[0,0,-1,10],[0,0,0,1]]}' >"$work/cam.json"
expect cameras 0 "" "$program" generate --model "$pack" --count 1 --seed 7 "${small[@]}" --cameras "$work/cam.json" -o "$work/d"
check "the camera in front is the turntable's first" cmp -s "$work/a/avatar_0000/view_000.png" "$work/d/avatar_0000/view_000.png"
check "one camera, one picture" absent "$work/d/avatar_0000/view_001.png"
expect betas 0 "" "$program" generate --model "$pack" --count 1 --seed 7 "${small[@]}" --betas 2,0,-1 -o "$work/e"
expect "too many betas" 4 "betas: 11 numbers" "$program" generate --model "$pack" --betas 1,1,1,1,1,1,1,1,1,1,1 -o "$work/x"

# Noise of a file: 12 x 96 x 288 zeros of float64.
{ printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 12, 96, 288), }" && head -c 2654208 /dev/zero; } >"$work/noise.npy"
once=(--steps 1 --views 1 --size 64 --no-panels --quiet)
expect "noise and the release's files" 0 "" "$program" generate --model "$pack" --count 1 --noise "$work/noise.npy" "${once[@]}" --eta 0.5 --release-names -o "$work/release"
check "its panels" test -s "$work/release/scene_scene_0000_000.png"
check "its labels" test -s "$work/release/scene_scene_0000_000_seg.png"
expect "info of its code" 0 "" "$program" info "$work/release/scene_scene_0000.pth"
check "float32 planes" grep -q 'f32 .*(12, 96, 288)' "$work/out"
expect "noise for another count" 3 "noise.npy; expected (2, 12, 96, 288), found (1, 12, 96, 288)" "$program" generate --model "$pack" --count 2 --noise "$work/noise.npy" "${once[@]}" -o "$work/x"
noisy=(--steps 1 --eta 1 --views 0 --size 64 --no-panels --quiet)
expect "noise at each step" 0 "" "$program" generate --model "$pack" --count 2 --seed 7 "${noisy[@]}" -o "$work/noisy"
expect "the second alone" 0 "" "$program" generate --model "$pack" --count 1 --seed 8 "${noisy[@]}" -o "$work/alone"
check "a seed gives one avatar, alone or not" cmp -s "$work/noisy/avatar_0001.safetensors" "$work/alone/avatar_0000.safetensors"
expect "eta out of range" 4 "eta = 2, must be in 0..1" "$program" generate --model "$pack" --eta 2 -o "$work/x"

expect "swap" 0 "" "$program" transfer --model "$pack" --base "$work/a/avatar_0000.safetensors" --top "$work/a/avatar_0001.safetensors" --views 2 --size 64 --quiet -o "$work/swap"
expect "walk" 0 "" "$program" animate --model "$pack" --avatar "$work/a/avatar_0000.safetensors" --motion "$motion" --frames 3 --size 64 --quiet -o "$work/walk"
expect "ply" 0 "" "$program" export "$work/a/avatar_0000.safetensors" --model "$pack" -o "$work/a.ply"


# Kept components: the second avatar's top, with whatever goes with it.
expect "keep a top" 0 "" "$program" generate --model "$pack" --count 1 --seed 9 "${small[@]}" --keep "$work/a/avatar_0001.safetensors:top" -o "$work/kept"
expect "keep an unknown component" 4 "component 'cape', must be body, top, hair, shoes or bottom" "$program" generate --model "$pack" --keep "$work/a/avatar_0001.safetensors:cape" -o "$work/x"
expect "keep without a component" 2 "expected FILE:component" "$program" generate --model "$pack" --keep "$work/a/avatar_0001.safetensors" -o "$work/x"
expect "keep a top twice" 4 "kept twice" "$program" generate --model "$pack" --keep "$work/a/avatar_0001.safetensors:top,$work/a/avatar_0000.safetensors:top" -o "$work/x"

# What is asked for: a skirt is no pair of trousers, and the whole list of words comes with a wrong one.
expect "like" 0 "" "$program" generate --model "$pack" --count 1 --seed 9 "${small[@]}" --like bottom=skirt,top-color=red -o "$work/skirt"
expect "like something else" 0 "" "$program" generate --model "$pack" --count 1 --seed 9 "${small[@]}" --like bottom=trousers --like top-colour=red -o "$work/trousers"
check "what is asked for changes the avatar" test "$(sha1sum <"$work/skirt/avatar_0000.safetensors")" != "$(sha1sum <"$work/trousers/avatar_0000.safetensors")"
expect "like what nobody wears" 4 "bottom = kilt, must be one of .*skirt" "$program" generate --model "$pack" --like bottom=kilt -o "$work/x"
expect "like an unknown attribute" 4 "attribute 'hat', must be one of .*top-colour" "$program" generate --model "$pack" --like hat=fedora -o "$work/x"
expect "like what nobody has together" 4 "nobody has all of these words" "$program" generate --model "$pack" --like bottom=skirt,bottom=trousers -o "$work/x"
expect "guidance out of range" 4 "guidance = 21, must be in 0..20" "$program" generate --model "$pack" --like bottom=skirt --guidance 21 -o "$work/x"

# An avatar's own views as pictures of a person in the default pose, whose 189 numbers are zero but for the arms: near enough.
{ printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (189,), }" && head -c 756 /dev/zero; } >"$work/person.npy"
printf '{"cam_param": [[[1,0,0,0],[0,-1,0,0],[0,0,-1,10],[0,0,0,1]],[[-1,0,0,0],[0,-1,0,0],[0,0,1,-10],[0,0,0,1]]]}' >"$work/two.json"
pictures=(--images "$work/a/avatar_0000/view_000.png" "$work/a/avatar_0000/view_001.png")
fit=(--model "$pack" "${pictures[@]}" --params "$work/person.npy" --steps 2 --guided-steps 2 --quiet)
expect fit 0 "" "$program" fit "${fit[@]}" --cameras "$work/two.json" --use view_000 -o "$work/fit"
check "its avatar" test -s "$work/fit/avatar.safetensors"
check "its report" grep -q 'fitted pictures' "$work/fit/report.html"
check "its numbers" grep -q '"held_out"' "$work/fit/report.json"
expect "fit again" 0 "" "$program" fit "${fit[@]}" --cameras "$work/two.json" --use view_000 -o "$work/fit2"
check "the same fit" cmp -s "$work/fit/avatar.safetensors" "$work/fit2/avatar.safetensors"
expect "too few cameras" 3 "expected 2 cameras, found 1" "$program" fit "${fit[@]}" --cameras "$work/cam.json" -o "$work/x"
expect "no cameras" 3 "none.json" "$program" fit "${fit[@]}" --cameras "$work/none.json" -o "$work/x"
expect "no such picture" 4 "no picture is called 'z'" "$program" fit "${fit[@]}" --cameras "$work/two.json" --use z -o "$work/x"
expect "masks of another size" 3 "expected 64x64 as its picture" "$program" fit "${fit[@]}" --cameras "$work/two.json" --masks "$work/a/contact_sheet.png" "$work/a/contact_sheet.png" -o "$work/x"

edit=(--model "$pack" --avatar "$work/a/avatar_0000.safetensors" --images "$work/a/avatar_0000/view_000.png" --views 0 --steps 2 --quiet)
expect edit 0 "" "$program" edit "${edit[@]}" --masks "$work/a/avatar_0001/view_000.png" -o "$work/edit"
check "its avatar" test -s "$work/edit/avatar.safetensors"
check "before and after" test -s "$work/edit/after_view_000.png"
expect "edit an unknown component" 4 "component 'cape'" "$program" edit "${edit[@]}" --masks "$work/a/avatar_0001/view_000.png" --component cape -o "$work/x"
expect "a mask of another size" 3 "contact_sheet.png: expected 64x64" "$program" edit "${edit[@]}" --masks "$work/a/contact_sheet.png" -o "$work/x"
expect "both switches" 2 "only one of them" "$program" edit "${edit[@]}" --masks "$work/a/avatar_0001/view_000.png" --geometry-only --colour-only -o "$work/x"
expect "no view" 2 "needs --cameras or --views" "$program" edit --model "$pack" --avatar "$work/a/avatar_0000.safetensors" --images "$work/a/avatar_0000/view_000.png" --masks "$work/a/avatar_0001/view_000.png" -o "$work/x"

one=(--model "$pack" --avatar "$work/a/avatar_0000.safetensors" --frames 1 --size 64 --quiet)
motions=$here/../fuzz/corpus/motion
expect "an X-Avatar motion" 0 "" "$program" animate "${one[@]}" --motion "$motions/x_avatar.pkl" --release-names --reference -o "$work/x_avatar"
check "one frame" [ "$(ls "$work/x_avatar" | grep -c 'scene_scene_0000_000.*png')" = 2 ]
expect "an AMASS motion" 0 "" "$program" animate "${one[@]}" --motion "$motions/walk_stageii.npz" --start 8 --with-translation --hands-relative --smplx "$here/../golden/body/SMPLX_NEUTRAL.npz" -o "$work/amass"
expect "an SMPL+H motion" 3 "'pose_eye' is missing; is this an SMPL+H file" "$program" animate "${one[@]}" --motion "$motions/smplh.npz" -o "$work/x"
expect "more frames than there are" 4 "1 frames from 9 by 8, but there are 9 from 0" "$program" animate "${one[@]}" --motion "$motions/walk_stageii.npz" --start 9 -o "$work/x"
expect "relative hands without their model" 2 "needs --smplx" "$program" animate "${one[@]}" --motion "$motions/x_avatar.pkl" --hands-relative -o "$work/x"
expect "a motion of another kind" 4 ".bvh, .pkl and .npz work" "$program" animate "${one[@]}" --motion "$work/cam.json" -o "$work/x"
expect "between two avatars" 0 "" "$program" interpolate --model "$pack" --from "$work/a/avatar_0000.safetensors" --to "$work/a/avatar_0001.safetensors" --frames 2 --spherical --size 64 --quiet -o "$work/between"
check "it begins at the first" cmp -s "$work/a/avatar_0000/view_000.png" "$work/between/frame_00000.png"
check "it ends at the second" cmp -s "$work/a/avatar_0001/view_000.png" "$work/between/frame_00001.png"
expect "between two seeds" 0 "" "$program" interpolate --model "$pack" --from 7 --to 8 --frames 1 --steps 2 --size 64 --quiet -o "$work/seeds"
check "it begins at the seed's avatar" cmp -s "$work/a/avatar_0000/view_000.png" "$work/seeds/frame_00000.png"

golden=$here/../golden/io
expect "info of a torch file" 0 "" "$program" info "$golden/h_cache_scene_0003.pth"
check "its code" grep -q '^param.code_ .*f16 .*(12, 4, 6)' "$work/out"
check "its scalars" grep -q '^optimizer.param_groups.0.lr  *0.04$' "$work/out"
expect "info of a pickle" 0 "" "$program" info "$golden/FLAME_masks.pkl"
check "its masks" grep -q '^left_ear .*i64 .*(2,) .*62..91, mean 76.5$' "$work/out"

small_template=(--smplx "$here/../golden/body" --sources "$here/../golden/templates")
masks="$here/../golden/io/FLAME_masks.pkl"
expect "template" 0 "" "$program" template "${small_template[@]}" --flame-masks "$masks" --custom --quiet -o "$work/template"
check "twelve arrays" [ "$(ls "$work/template" | wc -l)" = 12 ]

# Bad input, after what can be imported where its files are at hand.
if [ -n "${LAYERAVATAR_FIXTURES:-}" ]; then
  tiny=(import "$LAYERAVATAR_FIXTURES/a_tiny_checkpoint.pth" --templates "$work/template" --smplx "$here/../golden/body/SMPLX_NEUTRAL.npz" --image-size 64 --quiet)
  expect "import of a checkpoint" 0 "" "$program" "${tiny[@]}" --planes-height 16 -o "$work/tiny.safetensors"
  expect "generate with it" 0 "" "$program" generate --model "$work/tiny.safetensors" --count 1 --steps 2 --views 1 --quiet -o "$work/tiny"
  expect "its report" 0 "" "$program" "${tiny[@]}" --planes-height 128 --json -o "$work/tiny.safetensors"
  check "what was used" grep -q '"used":{.*decoder_ema.base_bn.bias' "$work/out"
  if [ -n "${LAYERAVATAR_OFFICIAL_DEMO:-}" ]; then
    demo=$LAYERAVATAR_OFFICIAL_DEMO/transfer/scene_
    expect "swap of the demo codes" 0 "" "$program" transfer --model "$work/tiny.safetensors" --base ${demo}0026.pth --top ${demo}1939.pth --bottom ${demo}1924.pth --hair ${demo}0072.pth --shoes ${demo}0179.pth --views 1 --quiet -o "$work/official"
    expect "import of a code" 0 "" "$program" import ${demo}0026.pth --quiet -o "$work/code.safetensors"
    expect "ply of a code" 0 "" "$program" export ${demo}0026.pth --model "$work/tiny.safetensors" -o "$work/code.ply"
  fi
fi
expect "import of a code of another shape" 3 "'param.code_'; expected (12, h, 3h), found (12, 4, 6)" "$program" import "$golden/h_cache_scene_0003.pth" -o "$work/x"
expect "import of another pickle" 3 "neither a checkpoint nor a code" "$program" import "$masks" -o "$work/x"
head -c 2000 "$golden/h_cache_scene_0003.pth" >"$work/cut.pth"
expect "import of a truncated file" 3 "cut.pth: not a zip archive" "$program" import "$work/cut.pth" -o "$work/x"
expect "code as avatar of another pack" 3 "'param.code_'; expected (12, 96, 288)" "$program" animate --model "$pack" --avatar "$golden/h_cache_scene_0003.pth" --motion "$motion" -o "$work/x"
printf "cos\nsystem\n(S'touch %s/made'\ntR." "$work" >"$work/evil.pkl"
expect "a pickle that wants to run" 3 "refusing to load 'os.system' from a pickle" "$program" info "$work/evil.pkl"
check "nothing ran" absent "$work/made"
check "the form of an error" grep -q "^layeravatar: error: $work/evil.pkl: refusing" "$work/err"
expect "template of another body" 3 "expected 10475 vertices, found 300" "$program" template "${small_template[@]}" --flame-masks "$masks" -o "$work/x"
expect "masks of another kind" 3 "commands.sh: not a pickle" "$program" template "${small_template[@]}" --flame-masks "$here/commands.sh" --custom -o "$work/x"
expect "sources that are missing" 3 "smplx_vert_segmentation.json: cannot open" "$program" template "${small_template[@]}" --sources "$work" --custom -o "$work/x"
expect "missing pack" 3 "nowhere.safetensors" "$program" generate --model "$work/nowhere.safetensors" -o "$work/x"
head -c 1000000 "$pack" >"$work/cut.safetensors"
expect "truncated pack" 3 "cut.safetensors" "$program" generate --model "$work/cut.safetensors" -o "$work/x"
expect "wrong file as pack" 3 "g.toml" "$program" generate --model "$work/g.toml" -o "$work/x"
expect "wrong file as avatar" 3 "cam.json" "$program" animate --model "$pack" --avatar "$work/cam.json" --motion "$motion" -o "$work/x"
sed 's/CHANNELS 3 Zrotation Yrotation Xrotation/CHANNELS 3 Zrotation Yrotation/' "$motion" >"$work/short.bvh"
expect "motion with missing channels" 3 "short.bvh" "$program" animate --model "$pack" --avatar "$work/a/avatar_0000.safetensors" --motion "$work/short.bvh" -o "$work/x"
expect "camera without cam_param" 3 "'cam_param' is missing" "$program" generate --model "$pack" --cameras <(echo '{}') -o "$work/x"
printf 'dataset = "nowhere"\nheld-out = ["000_001"]\n' >"$work/run.toml"
expect "npz with a wrong shape" 3 "v_template" "$program" train --config "$work/run.toml" --body "$here/flat_body.npz" --run "$work/x"
expect "unknown sampler" 4 "ddim, ddpm, dpmpp or unipc" "$program" generate --model "$pack" --sampler euler -o "$work/x"
expect "unknown metric" 4 "metrics: 'fad', must be of psnr" "$program" evaluate --model "$pack" --dataset "$work" --metrics psnr,fad
expect "a metric without its network" 2 "metric fid needs --inception FILE" "$program" evaluate --model "$pack" --dataset "$work" --metrics fid
expect "a network that is none" 3 "g.toml: not a TorchScript network" "$program" evaluate --model "$pack" --dataset "$work" --metrics fid --inception "$work/g.toml"
expect "evaluate nothing" 2 "needs --model, or --run and --body" "$program" evaluate --dataset "$work"
expect "unknown flag" 2 "" "$program" generate --nonsense
check "nothing was left behind" absent "$work/x"
if [ "$(id -u)" != 0 ]; then
  mkdir "$work/ro" && chmod 500 "$work/ro"
  expect "unwritable folder" 6 "ro" "$program" generate --model "$pack" --count 1 "${small[@]}" -o "$work/ro/x"
fi
: >"$work/file"
expect "folder is a file" 6 "file" "$program" generate --model "$pack" --count 1 "${small[@]}" -o "$work/file"
expect "full disk" 6 "/dev/full" "$program" export "$work/a/avatar_0000.safetensors" --model "$pack" -o /dev/full/a.ply

# Scans: a quad as OBJ, a damaged one, a folder without mesh.
mkdir -p "$work/scans/good" "$work/scans/cut" "$work/scans/none"
printf 'v -0.4 -0.4 0\nv 0.4 -0.4 0\nv 0.4 0.4 0\nv -0.4 0.4 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n' >"$work/scans/good/good.obj"
printf 'v -0.4 -0.4 0\nv 0.4 -0.4 0\nv 0.4 0.4 0\nvt 0 0\nf 1/1 2/1 3' >"$work/scans/cut/cut.obj"
cp "$work/a/avatar_0000/view_000.png" "$work/scans/good/material0.png"
expect "render-scans with bad scans" 7 "" "$program" render-scans "$work/scans" --source plain --size 32 --quiet -o "$work/views"
check "names the bad ones" [ "$(grep -c 'failed: ' "$work/err")" = 2 ]
check "with a reason" grep -q 'cut: failed: .*cut.obj: line 5: face without texture coordinates' "$work/err"
check "counts" grep -q 'error: 1 of 3 scans rendered' "$work/err"
check "renders the good one" [ "$(ls "$work/views/good/18views_3_wbg/image" | wc -l)" = 54 ]
check "leaves nothing of the others" absent "$work/views/cut"
rm -r "$work/scans/cut" "$work/scans/none"
expect "render-scans again" 0 "" "$program" render-scans "$work/scans" --source plain --size 32 --quiet --json --resume -o "$work/views"
check "keeps what is there" grep -q '"rendered":\[\],"kept":\["good"\]' "$work/out"
expect "progress at once" 0 "1/1 good: reading" "$program" render-scans "$work/scans" --source plain --size 16 -o "$work/more"
expect "a shard out of range" 4 "shard = 3/2" "$program" render-scans "$work/scans" --source plain --shard 3/2 -o "$work/views"
expect "fits need a body" 4 "need --body" "$program" render-scans "$work/scans" --source custom -o "$work/views"
expect "no such source" 4 "expected thuman2.0, thuman2.1, custom or plain" "$program" render-scans "$work/scans" --source x -o "$work/views"
expect "no scans" 3 "cannot open" "$program" render-scans "$work/nowhere" -o "$work/views"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
