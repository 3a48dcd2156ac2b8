"""Encoders: frozen functions from decoded clips to features on exact grids.

`load.encoder_specs` names a pair, `load.resolve_spec` ties a spec to the bytes of its weights, `load.load_encoder`
gives the encoder.

What the handcrafted pair is worth (cell AUC on people never seen: gradient boosting on cells with 0.2 s of context on
both sides, three folds over 29 people, 198 clips of 3-7 s made from genuine ones, each forged for 0.3-1.6 s with
10 ms of cross-fade, every clip encoded once with x264 and AAC; seconds of CPU per row, so the third digit is noise):

    audio                          all  no splices | same  other  pitch  stretch  vocoder
    first blocks, as measured      .72        .77  |  .55    .47    .85      .79      .99
    against the clip's median      .80        .85  |  .61    .68    .89      .84      .99
    against +-5 s                  .81        .86  |  .63    .71    .88      .86      .99
    against +-5 s, standardised    .82        .87  |  .63    .73    .90      .88      .99
    + residual's shape, flatness   .835       .88  |  .65    .75    .92      .88      .99   <- kept
      without the residual         .80        .84  |  .64    .73    .88      .79      .99
      without the flatness         .82        .87  |  .63    .74    .90      .88      .99
      without LFCC and slopes      .84        .89  |  .65    .76    .93      .88      .99
      without log-mel and slopes   .83        .88  |  .65    .74    .92      .87      .99
      without sub-frame energies   .83        .88  |  .66    .74    .92      .88      .99
    fine track alone               .72        .75  |  .61    .62    .73      .68      .98

    video                          all  regional | blur  down/up  mouth of other time  re-ordered  shifted
    as measured                    .66        -  |  .81      .76                  .61         .56      .53
    against +-5 s                  .745     .86  |  .91      .90                  .74         .60      .57   <- kept
    against +-5 s, standardised    .73        -  |  .89      .87                  .74         .59      .55
    + outliers on a 7 x 7 grid     .74        -  |  .89      .89                  .75         .60      .56   dropped
    without noise agreement        .73        -  |  .90      .88                  .72         .59      .55

(`no splices`: without splices from the same speaker; `regional`: trained and tested without whole pictures that were
re-ordered or shifted in time, which show at their edges and against the sound, not inside.)

Edges (cells within 30 ms of a boundary, in the picture 50 ms): splices from the same speaker .69, all audio kinds .78;
pictures re-ordered or shifted .96, regional kinds .76. Crops as wide as the decoder's (1.6 faces, above 1.3; 116 clips
of 3-5 s, regional kinds only): .82 with cheeks beside the face, .828 with cheeks inside it, .833 with the ring around
the mouth (kept), .82 with a tighter mouth, and .82-.83 without any one of colour, motion, DCT, kurtosis.
"""
